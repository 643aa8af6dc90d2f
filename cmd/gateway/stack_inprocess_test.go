//go:build !integration

package main

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// backends are a Redis and a Kafka of the test's own, in this process.
func backends(t *testing.T) (redisURL, brokers string) {
	t.Helper()
	broker, err := simulator.NewBroker(0)
	require.NoError(t, err)
	t.Cleanup(broker.Close)
	return "redis://" + miniredis.RunT(t).Addr(), broker.Addr()
}
