package main

import (
	"math"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestLimitMemory leaves a limit alone that somebody has set.
func TestLimitMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	for _, test := range []struct{ set, bodies, want int64 }{
		{math.MaxInt64, 64 << 20, 96 << 20},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{1 << 30, 64 << 20, 1 << 30},
	} {
		debug.SetMemoryLimit(test.set)
		limitMemory(1024, test.bodies)
		require.Equal(t, test.want, debug.SetMemoryLimit(-1))
	}
}
