package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

// FuzzLoad gives Open any file as the one segment there is: with a header of
// its own, or behind a good one. What opens holds exactly the frames that are
// in the file, in their order.
func FuzzLoad(f *testing.F) {
	head := spool.Header(1, 5, 0)
	at := int64(len(head))
	group := slices.Concat(spool.Mark(at), spool.Frame([]byte("a")), spool.Frame([]byte("bc")))
	marked := slices.Concat(group, spool.Mark(at+int64(len(group))))
	f.Add(true, []byte{})
	f.Add(true, spool.Mark(at))
	f.Add(true, group)
	f.Add(true, marked)
	f.Add(true, slices.Concat(marked, spool.Mark(at+int64(len(marked)))))
	f.Add(true, slices.Concat(marked, spool.Frame([]byte("d"))[:7]))
	f.Add(true, slices.Concat([]byte{0, 0, 0, 9}, marked))
	f.Add(true, slices.Concat(marked[:9], []byte{255}, marked[10:]))
	f.Add(true, make([]byte, 64))
	f.Add(false, []byte{})
	f.Add(false, head[:20])
	f.Add(false, slices.Concat(head, marked))
	f.Add(false, slices.Concat(spool.Header(2, 0, 0), marked))
	f.Add(false, slices.Concat([]byte("AWRSPOOL"), make([]byte, 60)))
	f.Fuzz(func(t *testing.T, behindHeader bool, content []byte) {
		if behindHeader {
			content = slices.Concat(head, content)
		}
		dir := directory(t, map[string][]byte{name(1): content})
		l, err := spool.OpenOn(unsynced, dir, options())
		if err != nil {
			checkRefusal(t, dir, content, err)
			return
		}
		require.True(t, bytes.HasPrefix(content, []byte("AWRSPOOL")))
		got := take(t, l, l.Pending())
		checkContent(t, content, got)
		_, err = l.Append(context.Background(), []byte("more"))
		require.NoError(t, err)
		require.NoError(t, l.Close())

		l, err = spool.OpenOn(unsynced, dir, options())
		require.NoError(t, err)
		require.Equal(t, append(contents(got), "more"), contents(take(t, l, l.Pending())))
		require.NoError(t, l.Close())
	})
}

// checkRefusal checks that an error is a documented one, and nothing touched.
func checkRefusal(t *testing.T, dir string, content []byte, err error) {
	t.Helper()
	var corrupt *spool.CorruptError
	if errors.As(err, &corrupt) {
		require.Equal(t, filepath.Join(dir, name(1)), corrupt.File)
		require.LessOrEqual(t, corrupt.Offset, int64(len(content)))
	} else {
		require.True(t, errors.Is(err, spool.ErrKey) || errors.Is(err, spool.ErrVersion), "%v", err)
	}
	require.Equal(t, map[string][]byte{name(1): content}, snapshot(t, dir))
}

// checkContent checks that entries are what a file begins with, and that
// nothing behind them was acknowledged.
func checkContent(t *testing.T, content []byte, entries []spool.Entry) {
	t.Helper()
	at := spool.HeaderSize
	skipMarks := func() {
		for bytes.HasPrefix(content[at:], spool.Mark(int64(at))) {
			at += spool.FrameSize
		}
	}
	skipMarks()
	for i, e := range entries {
		require.Equal(t, binary.BigEndian.Uint64(content[24:])+uint64(i), e.Sequence)
		frame := spool.Frame(e.Body)
		require.True(t, bytes.HasPrefix(content[at:], frame))
		at += len(frame)
		skipMarks()
	}
	for i := at + 1; i < len(content); i++ {
		require.False(t, bytes.HasPrefix(content[i:], spool.Mark(int64(i))))
	}
}

// FuzzFrame reads a frame from any bytes at any place. What is whole encodes to
// the same bytes again, and what was encoded reads back.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(spool.Mark(0), uint8(0))
	f.Add(spool.Mark(8), uint8(0))
	f.Add(spool.Frame([]byte("body")), uint8(0))
	f.Add(slices.Concat([]byte("xyz"), spool.Frame([]byte("body")), []byte("more")), uint8(3))
	f.Add(spool.Frame([]byte("body"))[:10], uint8(0))
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0}, uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, offset uint8) {
		at := min(int64(offset), int64(len(b)))
		body, isMark, err := spool.ReadFrame(bytes.NewReader(b), at, int64(len(b)))
		require.NoError(t, err)
		if isMark {
			require.True(t, bytes.HasPrefix(b[at:], spool.Mark(at)))
		}
		if body != nil {
			require.NotEmpty(t, body)
			require.True(t, bytes.HasPrefix(b[at:], spool.Frame(body)))
		}
		if len(b) == 0 {
			return
		}
		file := slices.Concat(b[:at], spool.Frame(b), b)
		back, isMark, err := spool.ReadFrame(bytes.NewReader(file), at, int64(len(file)))
		require.NoError(t, err)
		require.False(t, isMark)
		require.Equal(t, b, back)
	})
}
