package secrets_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
)

func TestFileIsReplacedWhole(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "secrets")
	b := secrets.FileBoard{Path: path}
	require.NoError(t, b.Tell(t.Context(), newNotice(), nil))
	got, err := config.ReadSecretsFile(path, config.FormAuto)
	require.NoError(t, err)
	require.Equal(t, newNotice().Secrets, got)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())

	link := filepath.Join(folder, "link")
	require.NoError(t, os.Symlink(path, link))
	next := secrets.Notice{Secrets: listOf("z")}
	require.NoError(t, secrets.FileBoard{Path: link}.Tell(t.Context(), next, nil))
	got, err = config.ReadSecretsFile(path, config.FormAuto)
	require.NoError(t, err)
	require.Equal(t, listOf("z"), got, "a link stays a link")

	require.Error(t, secrets.FileBoard{Path: filepath.Join(path, "below")}.Tell(t.Context(), next, nil))
	left, err := os.ReadDir(folder)
	require.NoError(t, err)
	require.Len(t, left, 2, "nothing is left behind")
}

// TestFileKeepsItsMode: whoever could read the secrets can read those that replace
// them.
func TestFileKeepsItsMode(t *testing.T) {
	for _, mode := range []os.FileMode{0o640, 0o440, 0o600} {
		path := filepath.Join(t.TempDir(), "secrets")
		require.NoError(t, os.WriteFile(path, []byte(secretOf("a").Reveal()), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		b := secrets.FileBoard{Path: path}
		ok, err := b.Mark(t.Context(), "me", time.Minute)
		require.NoError(t, err)
		require.True(t, ok)
		require.NoError(t, b.Tell(t.Context(), newNotice(), nil))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, mode, info.Mode().Perm())
		info, err = os.Stat(path + ".rotating")
		require.NoError(t, err)
		require.EqualValues(t, 0o644, info.Mode().Perm(), "the marker holds nothing")
	}
}

func TestFileMark(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	b := secrets.FileBoard{Path: path}
	mark := func(who string, ttl time.Duration) bool {
		t.Helper()
		ok, err := b.Mark(t.Context(), who, ttl)
		require.NoError(t, err)
		return ok
	}
	require.True(t, mark("a", time.Minute))
	require.True(t, mark("a", time.Minute))
	require.False(t, mark("b", time.Minute))
	require.NoError(t, b.Unmark(t.Context(), "b"))
	require.FileExists(t, path+".rotating")
	require.NoError(t, b.Unmark(t.Context(), "a"))
	require.NoFileExists(t, path+".rotating")

	require.True(t, mark("a", -time.Second), "a mark that has ended")
	require.True(t, mark("b", time.Minute), "is nobody's")
	require.NoError(t, os.WriteFile(path+".rotating", []byte("canary"), 0o600))
	require.True(t, mark("c", time.Minute), "nor is one that cannot be read")

	_, err := secrets.FileBoard{Path: filepath.Join(path+".rotating", "below")}.Mark(t.Context(), "a", time.Minute)
	require.Error(t, err, "where nothing can be written")
}
