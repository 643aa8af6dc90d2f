package store_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// BenchmarkScripts claims one event after the other, and confirms groups of
// them. Beside each is as many plain HSETs of the same fields in one pipeline.
func BenchmarkScripts(b *testing.B) {
	if os.Getenv("TEST_REDIS_URL") == "" {
		b.Skip("needs TEST_REDIS_URL")
	}
	client, namespace := realClient(b), "test-"+rand.Text()
	defer removeKeys(b, client, namespace)
	r, err := store.OpenRedis(os.Getenv("TEST_REDIS_URL"), namespace)
	require.NoError(b, err)
	defer r.Close()
	events := 0 // so far: each is claimed once
	b.Run("claim/1/ours", func(b *testing.B) {
		for b.Loop() {
			events++
			_, verdict, err := r.Claim(b.Context(), realistic(events), terms)
			require.NoError(b, err)
			require.Equal(b, event.Granted, verdict)
		}
	})
	b.Run("claim/1/primitives", func(b *testing.B) { benchmarkHSet(b, client, namespace, 1) })
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("confirm/%d/ours", n), func(b *testing.B) {
			done := make([]event.Delivery, n)
			for b.Loop() {
				for i := range done {
					events++
					c := realistic(events)
					done[i] = event.Delivery{Key: c.Key, Token: c.Token, Offset: c.FromOffset, Place: c.Place, Keep: time.Hour}
				}
				_, err := r.Confirm(b.Context(), done)
				require.NoError(b, err)
			}
		})
		b.Run(fmt.Sprintf("confirm/%d/primitives", n), func(b *testing.B) { benchmarkHSet(b, client, namespace, n) })
	}
}

func benchmarkHSet(b *testing.B, client *redis.Client, namespace string, n int) {
	next := 0
	for b.Loop() {
		pipe := client.Pipeline()
		for range n {
			next++
			c := realistic(next)
			pipe.HSet(b.Context(), namespace+":plain:"+c.Key, "t", c.Token, "s", "done", "o", c.Topic, "p", c.Partition, "x", c.FromOffset)
		}
		_, err := pipe.Exec(b.Context())
		require.NoError(b, err)
	}
}
