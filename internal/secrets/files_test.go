package secrets_test

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/secrets"
)

// fileWatch watches one File of some paths.
type fileWatch struct {
	*secrets.Watcher
	log      bytes.Buffer
	registry *prometheus.Registry
	refuse   string // a content
	got      []string
	seen     [][]byte // the buffers that Set was given
}

func newFileWatch(paths ...string) *fileWatch {
	f := &fileWatch{registry: prometheus.NewRegistry()}
	f.Watcher = secrets.NewWatcher(secrets.Options{
		Files: []secrets.File{{Name: "ADMIN_TOKEN", Paths: paths, Set: f.set}},
		Log:   slog.New(slog.NewTextHandler(&f.log, nil)), Metrics: f.registry,
	})
	return f
}

func (f *fileWatch) set(contents [][]byte) error {
	joined := string(bytes.Join(contents, []byte("|")))
	f.seen = contents
	if f.refuse != "" && joined == f.refuse {
		return errors.New("refused")
	}
	f.got = append(f.got, joined)
	return nil
}

func (f *fileWatch) unread(t *testing.T) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "gateway_secrets_unread" {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	require.Fail(t, "no metric")
	return 0
}

func TestWatcherReadsFilesAgain(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "token")
	write := func(content string) { require.NoError(t, os.WriteFile(path, []byte(content), 0o600)) }
	write("canary-1")
	f := newFileWatch(path)
	for range 3 {
		f.Look(t.Context())
	}
	require.Equal(t, []string{"canary-1"}, f.got)
	require.Empty(t, f.log.String(), "it was in force at the start")

	write("canary-2")
	f.Look(t.Context())
	f.Look(t.Context())
	require.Equal(t, []string{"canary-1", "canary-2"}, f.got)
	require.Equal(t, 1, strings.Count(f.log.String(), `msg="a changed file is in force" variable=ADMIN_TOKEN`))
	for _, b := range f.seen {
		require.Equal(t, make([]byte, len(b)), b, "what was read is overwritten")
	}

	f.refuse = "canary-3"
	write("canary-3")
	for range 3 {
		f.Look(t.Context())
	}
	require.EqualValues(t, 1, f.unread(t))
	require.NoError(t, os.Remove(path))
	f.Look(t.Context())
	require.Equal(t, 1, strings.Count(f.log.String(), "level=ERROR"), "said once")
	f.refuse = ""
	write("canary-3")
	f.Look(t.Context())
	require.Equal(t, "canary-3", f.got[2], "it is tried again")
	require.Zero(t, f.unread(t))
	require.NotContains(t, f.log.String(), "canary")
}

// TestWatcherFollowsSwappedLinks as Kubernetes swaps them: one link for a folder,
// which both files are reached through.
func TestWatcherFollowsSwappedLinks(t *testing.T) {
	folder := t.TempDir()
	version := func(name, content string) {
		require.NoError(t, os.Mkdir(filepath.Join(folder, name), 0o700))
		for _, file := range []string{"tls.crt", "tls.key"} {
			require.NoError(t, os.WriteFile(filepath.Join(folder, name, file), []byte(content), 0o600))
		}
		require.NoError(t, os.Symlink(name, filepath.Join(folder, "..new")))
		require.NoError(t, os.Rename(filepath.Join(folder, "..new"), filepath.Join(folder, "..data")))
	}
	version("..1", "a")
	paths := []string{filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")}
	for _, path := range paths {
		require.NoError(t, os.Symlink(filepath.Join("..data", filepath.Base(path)), path))
	}
	f := newFileWatch(paths...)
	f.Look(t.Context())
	version("..2", "b")
	f.Look(t.Context())
	require.Equal(t, []string{"a|a", "b|b"}, f.got)
}

func TestWatcherBoundsFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for size, want := range map[int]int{0: 1, 8<<10 - 1: 1, 8 << 10: 1, 8<<10 + 1: 1, 1 << 20: 1, 1<<20 + 1: 0} {
		require.NoError(t, os.WriteFile(path, bytes.Repeat([]byte("x"), size), 0o600))
		f := newFileWatch(path)
		f.Look(t.Context())
		require.Len(t, f.got, want, size)
		if want > 0 {
			require.Len(t, f.got[0], size)
		}
	}
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip(err)
	}
	f := newFileWatch("/dev/zero")
	f.Look(t.Context())
	require.Empty(t, f.got)
	require.EqualValues(t, 1, f.unread(t))
}
