package main

import (
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
)

func TestMemoryLimit(t *testing.T) {
	for _, test := range []struct {
		connections, header int
		cert                string
		bodies, want        int64
	}{
		{4096, 8 << 10, "", 64 << 20, (24 + 64 + 64) << 20},
		{4096, 8 << 10, "tls.crt", 64 << 20, (24 + 128 + 64) << 20},
		{1024, 1 << 20, "", 64 << 20, (24 + 8 + 1024 + 64) << 20},
		{1, 8 << 10, "", 64 << 20, 128 << 20},
		{1, 8 << 10, "", math.MaxInt64, math.MaxInt64},
	} {
		cfg := config.Config{HTTPMaxConnections: test.connections, HTTPMaxHeaderBytes: test.header,
			HTTPTLSCertFile: test.cert, HTTPBodyBudgetBytes: test.bodies}
		require.Equal(t, test.want, memoryLimit(cfg))
	}
}

// TestLimitMemory leaves alone what somebody has set, also to none.
func TestLimitMemory(t *testing.T) {
	limit, percent := debug.SetMemoryLimit(-1), debug.SetGCPercent(123)
	defer func() { debug.SetMemoryLimit(limit); debug.SetGCPercent(percent) }()
	cfg := config.Config{HTTPMaxConnections: 1}
	t.Setenv("GOMEMLIMIT", "off")
	t.Setenv("GOGC", "123")
	limitMemory(cfg)
	require.Equal(t, limit, debug.SetMemoryLimit(-1))
	require.Equal(t, 123, debug.SetGCPercent(123))

	os.Unsetenv("GOMEMLIMIT")
	os.Unsetenv("GOGC")
	limitMemory(cfg)
	require.Equal(t, memoryLimit(cfg), debug.SetMemoryLimit(-1))
	require.Equal(t, garbagePercent, debug.SetGCPercent(123))
}
