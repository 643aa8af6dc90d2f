package spool_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/spool"
)

func TestOneProcessHasTheDirectory(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, options())
	_, err := spool.Open(dir, options())
	require.ErrorIs(t, err, spool.ErrLocked)
	require.ErrorContains(t, err, dir)
	add(t, l, body(0))
	require.NoError(t, l.Close())

	other := startChild(t, "hold", dir)
	line, ok := other.line()
	require.True(t, ok)
	require.Equal(t, "open\n", line)
	_, err = spool.Open(dir, options())
	require.ErrorIs(t, err, spool.ErrLocked)

	other.kill(t)
	require.Equal(t, bodies(0, 1), drain(t, open(t, dir, options())))
}

func TestAKilledProcessLosesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	for range 12 {
		acknowledged := appendAndKill(t, dir, random.IntN(400))
		l := open(t, dir, options())
		got := take(t, l, l.Pending())
		bySequence := map[uint64]string{}
		for i, e := range got {
			require.Equal(t, got[0].Sequence+uint64(i), e.Sequence)
			bySequence[e.Sequence] = string(e.Body)
		}
		for _, line := range acknowledged {
			var sequence uint64
			var body string
			_, err := fmt.Sscanf(line, "%d %s\n", &sequence, &body)
			require.NoError(t, err, line)
			require.Equal(t, body, bySequence[sequence])
		}
		// The next round finds some that are done, and some that are not.
		for _, e := range got[:random.IntN(len(got)+1)] {
			require.NoError(t, l.Done(e.Sequence))
		}
		require.NoError(t, l.Close())
	}
}

// appendAndKill kills a process that appends, after that many acknowledgements
// or a few more, and returns them.
func appendAndKill(t *testing.T, dir string, after int) []string {
	t.Helper()
	c := startChild(t, "append", dir)
	var lines []string
	for range after {
		line, ok := c.line()
		require.True(t, ok)
		lines = append(lines, line)
	}
	return append(lines, c.kill(t)...)
}
