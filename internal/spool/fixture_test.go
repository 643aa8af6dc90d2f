package spool_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

var keys = map[string][]byte{"open": nil, "sealed": bytes.Repeat([]byte{7}, 32)}

// options are of a spool whose segments hold a few entries each.
func options() spool.Options {
	return spool.Options{MaxBytes: 64 << 20, SegmentBytes: 256}
}

func sealedOptions(key []byte) spool.Options {
	opts := options()
	opts.Keys = keysOf(key)
	return opts
}

// keysOf is the one key, or none for nil.
func keysOf(key []byte) [][]byte {
	if key == nil {
		return nil
	}
	return [][]byte{key}
}

func open(t *testing.T, dir string, opts spool.Options) *spool.Log {
	t.Helper()
	l, err := spool.Open(dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// unsynced is a disk that is quick, for tests of what is in the files.
func unsynced(file *os.File, b []byte, offset int64) error {
	_, err := file.WriteAt(b, offset)
	return err
}

// openTold is open on a quick disk, and also returns what is logged.
func openTold(t *testing.T, dir string, opts spool.Options) (*spool.Log, *bytes.Buffer) {
	t.Helper()
	var told bytes.Buffer
	opts.Log = slog.New(slog.NewTextHandler(&told, nil))
	l, err := spool.OpenOn(unsynced, dir, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l, &told
}

// body is the content of the entry with a number.
func body(i int) string { return fmt.Sprintf("entry %04d", i) }

// bodies are the contents of the entries from one number up to another.
func bodies(from, to int) []string {
	list := []string{}
	for i := from; i < to; i++ {
		list = append(list, body(i))
	}
	return list
}

// add appends entries one after the other.
func add(t *testing.T, l *spool.Log, bodies ...string) {
	t.Helper()
	for _, b := range bodies {
		_, err := l.Append(t.Context(), []byte(b))
		require.NoError(t, err)
	}
}

// addGroup appends entries with one sync.
func addGroup(t *testing.T, l *spool.Log, bodies ...string) {
	t.Helper()
	var group [][]byte
	for _, b := range bodies {
		group = append(group, []byte(b))
	}
	outcomes, err := l.AppendGroup(group...)
	require.NoError(t, err)
	for _, err := range outcomes {
		require.NoError(t, err)
	}
}

// take reads that many entries.
func take(t *testing.T, l *spool.Log, n int) []spool.Entry {
	t.Helper()
	var entries []spool.Entry
	for range n {
		e, err := l.Next(t.Context())
		require.NoError(t, err)
		entries = append(entries, e)
	}
	return entries
}

func contents(entries []spool.Entry) []string {
	list := []string{}
	for _, e := range entries {
		list = append(list, string(e.Body))
	}
	return list
}

// drain reads everything, and says that it is done.
func drain(t *testing.T, l *spool.Log) []string {
	t.Helper()
	entries := take(t, l, l.Pending())
	for _, e := range entries {
		require.NoError(t, l.Done(e.Sequence))
	}
	require.Zero(t, l.Pending())
	return contents(entries)
}

// snapshot is what a directory holds, by file name, but for the lock.
func snapshot(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range names {
		if f.Name() != "LOCK" && f.Name() != "ID" {
			files[f.Name()], err = os.ReadFile(filepath.Join(dir, f.Name()))
			require.NoError(t, err)
		}
	}
	return files
}

// directory holds the files of a snapshot.
func directory(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	fill(t, dir, files)
	return dir
}

// fill makes a directory hold the files of a snapshot and nothing else.
func fill(t *testing.T, dir string, files map[string][]byte) {
	t.Helper()
	for name := range snapshot(t, dir) {
		require.NoError(t, os.Remove(filepath.Join(dir, name)))
	}
	for name, b := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
}

func name(number int) string { return fmt.Sprintf("spool-%016x.seg", number) }

func size(files map[string][]byte) (sum int64) {
	for _, b := range files {
		sum += int64(len(b))
	}
	return sum
}
