//go:build integration

package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// backends are a real Redis and a real Kafka, which all tests share.
func backends(t *testing.T) (redisURL, brokers string) {
	t.Helper()
	redisURL, brokers = os.Getenv("TEST_REDIS_URL"), os.Getenv("TEST_KAFKA_BROKERS")
	require.NotEmpty(t, redisURL, "TEST_REDIS_URL names a Redis; test/real.sh starts one")
	require.NotEmpty(t, brokers, "TEST_KAFKA_BROKERS names a Kafka; test/real.sh starts one")
	return redisURL, brokers
}
