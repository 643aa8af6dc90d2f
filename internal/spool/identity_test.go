package spool_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

func TestADirectoryKeepsItsID(t *testing.T) {
	dir := t.TempDir()
	id := func(dir string) string {
		log, err := spool.Open(dir, spool.Options{MaxBytes: 1 << 20})
		require.NoError(t, err)
		defer log.Close()
		return log.ID()
	}
	first := id(dir)
	require.NotEmpty(t, first)
	require.Equal(t, first, id(dir))
	require.NotEqual(t, first, id(t.TempDir()))
	for _, torn := range []string{"", first, first[:5], "\x00\x00\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "ID"), []byte(torn), 0o600))
		again := id(dir)
		require.NotEqual(t, torn, again)
		require.Equal(t, again, id(dir))
	}
}

func TestAFarewellIsKept(t *testing.T) {
	dir := t.TempDir()
	for i, said := range []bool{false, true, true, false, false} {
		log, err := spool.Open(dir, spool.Options{MaxBytes: 1 << 20})
		require.NoError(t, err)
		require.Equal(t, i == 0, log.Fresh())
		require.NoError(t, log.SetFarewell(said))
		require.NoError(t, log.Close())
		log, err = spool.Open(dir, spool.Options{MaxBytes: 1 << 20})
		require.NoError(t, err)
		require.Equal(t, said, log.Farewell())
		require.NoError(t, log.Close())
	}
}
