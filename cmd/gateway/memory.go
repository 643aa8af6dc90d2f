package main

import (
	"math"
	"runtime/debug"
)

// ownMemory is what the gateway may take besides bodies. It is less than the
// 128 MiB that are promised: what the runtime does not count, such as the program
// itself, comes on top.
const ownMemory = 96 << 20

// limitMemory has garbage collected early enough, and what is free given back to
// the system, for the gateway to stay within ownMemory and the memory for bodies.
// Without it a flood of connections leaves twice as much behind for minutes. It is
// no hard limit, and GOMEMLIMIT, where it is set, counts in its place.
func limitMemory(bodyBudget int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(ownMemory + min(bodyBudget, math.MaxInt64-ownMemory))
	}
}
