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
	for _, test := range []struct {
		set         int64
		connections int
		bodies      int64
		want        int64
	}{
		{math.MaxInt64, 16 << 10, 64 << 20, (24 + 128 + 64) << 20},
		{math.MaxInt64, 1, 64 << 20, 128 << 20},
		{math.MaxInt64, 1, math.MaxInt64, math.MaxInt64},
		{1 << 30, 1, 64 << 20, 1 << 30},
	} {
		debug.SetMemoryLimit(test.set)
		limitMemory(test.connections, test.bodies)
		require.Equal(t, test.want, debug.SetMemoryLimit(-1))
	}
}
