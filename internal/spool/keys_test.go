package spool_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

var nextKey = bytes.Repeat([]byte{8}, 32)

func withKeys(keys ...[]byte) spool.Options {
	opts := options()
	opts.Keys = keys
	return opts
}

func put(t *testing.T, l *spool.Log, n int) {
	t.Helper()
	_, err := l.Append(t.Context(), []byte(body(n)))
	require.NoError(t, err)
}

// TestRotationOfTheKey: what was sealed with the key of before opens while that is
// listed, in one process and over a restart, and what comes is sealed with the new
// one at once.
func TestRotationOfTheKey(t *testing.T) {
	old, dir := keys["sealed"], t.TempDir()
	l, err := spool.Open(dir, withKeys(old))
	require.NoError(t, err)
	put(t, l, 0)
	require.ErrorIs(t, l.SetKeys([][]byte{nextKey}), spool.ErrKey, "an entry waits that it does not open")
	require.ErrorIs(t, l.SetKeys(nil), spool.ErrKey)
	require.Error(t, l.SetKeys([][]byte{old[:31]}))
	require.NoError(t, l.SetKeys([][]byte{nextKey, old}))
	put(t, l, 1)
	e, err := l.Next(t.Context())
	require.NoError(t, err)
	require.Equal(t, body(0), string(e.Body))
	require.NoError(t, l.Done(e.Sequence))
	require.NoError(t, l.SetKeys([][]byte{nextKey}), "what the old one sealed has drained")
	require.NoError(t, l.SetKeys([][]byte{nextKey, old}))
	require.NoError(t, l.SetKeys([][]byte{old, nextKey}))
	put(t, l, 2)
	require.NoError(t, l.Close())

	for _, alone := range [][]byte{old, nextKey} {
		_, err = spool.Open(dir, withKeys(alone))
		require.ErrorIs(t, err, spool.ErrKey)
	}
	l = open(t, dir, withKeys(nextKey, old))
	put(t, l, 3)
	require.Equal(t, []string{body(1), body(2), body(3)}, drain(t, l))
}

func TestSealingBeginsWithARestart(t *testing.T) {
	l := open(t, t.TempDir(), withKeys())
	require.ErrorIs(t, l.SetKeys([][]byte{nextKey}), spool.ErrKey)
	put(t, l, 0)
	require.Equal(t, []string{body(0)}, drain(t, l))
}
