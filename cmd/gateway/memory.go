package main

import (
	"math"
	"os"
	"runtime/debug"

	"awareid-gateway/internal/config"
)

// What the gateway may take besides bodies: for itself, and for a connection, beside
// the buffer for its header. What the runtime does not count, such as the program,
// comes on top.
const (
	ownMemory        = 24 << 20
	connectionMemory = 8 << 10
	tlsMemory        = 16 << 10 // of a connection with TLS, more
	leastMemory      = 64 << 20 // however few connections are allowed
)

// garbagePercent is how much may be allocated, in percent of what lives, before
// garbage is collected. Little lives in a gateway, so with the runtime's own 100
// it would be collected all the time.
const garbagePercent = 200

// limitMemory has garbage collected early enough, and what is free given back to
// the system, for the gateway to stay within what its limits allow. Without it a
// flood of connections leaves twice as much behind for minutes. It is no hard
// limit. GOMEMLIMIT and GOGC, where they are set, count in place of ours.
func limitMemory(cfg config.Config) {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(garbagePercent)
	}
	if _, set := os.LookupEnv("GOMEMLIMIT"); !set {
		debug.SetMemoryLimit(memoryLimit(cfg))
	}
}

// memoryLimit is what lives when all limits are reached; below that the collector
// would take the processors and find nothing.
func memoryLimit(cfg config.Config) int64 {
	connection := int64(connectionMemory + cfg.HTTPMaxHeaderBytes)
	if cfg.HTTPTLSCertFile != "" {
		connection += tlsMemory
	}
	own := max(leastMemory, ownMemory+int64(cfg.HTTPMaxConnections)*connection)
	return own + min(cfg.HTTPBodyBudgetBytes, math.MaxInt64-own)
}
