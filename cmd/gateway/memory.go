package main

import (
	"math"
	"runtime/debug"
)

// What the gateway may take besides bodies: for itself, and for a connection that
// asks for something. What the runtime does not count, such as the program, comes
// on top.
const (
	ownMemory        = 24 << 20
	connectionMemory = 8 << 10
	leastMemory      = 64 << 20 // however few connections are allowed
)

// limitMemory has garbage collected early enough, and what is free given back to
// the system, for the gateway to stay within what its limits allow. Without it a
// flood of connections leaves twice as much behind for minutes. It is no hard
// limit, and GOMEMLIMIT, where it is set, counts in its place.
func limitMemory(connections int, bodies int64) {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		own := max(leastMemory, ownMemory+int64(connections)*connectionMemory)
		debug.SetMemoryLimit(own + min(bodies, math.MaxInt64-own))
	}
}
