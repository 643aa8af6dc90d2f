package spool_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// tmpfs mounts a small disk, where the system allows it.
func tmpfs(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("mounting needs a privilege: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func TestAFullDisk(t *testing.T) {
	disk := tmpfs(t, 64<<10)
	dir := filepath.Join(disk, "spool")
	opts := options()
	opts.SegmentBytes = 8 << 10
	l := open(t, dir, opts)

	ballast := filepath.Join(disk, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 16<<10), 0o600))
	var want []string
	fillUp := func() {
		for i := 0; ; i++ {
			b := fmt.Sprintf("%01500d", len(want))
			if _, err := l.Append(t.Context(), []byte(b)); err != nil {
				require.ErrorIs(t, err, syscall.ENOSPC)
				return
			}
			want = append(want, b)
		}
	}
	fillUp()
	require.NotEmpty(t, want)
	before := len(want)
	for range 20 {
		fillUp()
	}
	require.NoError(t, os.Remove(ballast))
	fillUp()
	require.Greater(t, len(want), before+5, "it goes on once there is room")
	require.NoError(t, l.Close())

	l = open(t, dir, opts)
	require.Equal(t, want, drain(t, l), "a full disk does not keep it from opening")
	add(t, l, "and on it goes")
	require.Equal(t, []string{"and on it goes"}, drain(t, l))
}
