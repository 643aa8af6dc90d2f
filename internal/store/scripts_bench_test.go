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

// BenchmarkRedisCPU reports what an event costs the server, in the groups that 64
// connections make: its claim with its alias and a look at a queue, its
// confirmation, and its number. Numbers come a little out of order. Beside the
// claims is what they store as plain commands in one pipeline, which decide nothing.
func BenchmarkRedisCPU(b *testing.B) {
	if os.Getenv("TEST_REDIS_URL") == "" {
		b.Skip("needs TEST_REDIS_URL")
	}
	const group = 32
	client, namespace := realClient(b), "test-"+rand.Text()
	defer removeKeys(b, client, namespace)
	r, err := store.OpenRedis(os.Getenv("TEST_REDIS_URL"), namespace)
	require.NoError(b, err)
	defer r.Close()
	_, err = r.Memory(b.Context())
	require.NoError(b, err)

	var all []event.Claim // that the last iteration claimed
	claim := func(first int) {
		all = all[:0]
		for i := range group {
			c := realistic(first + i)
			c.Alias = fmt.Sprintf("0123456789abcdef0123456789abcdef/authentication.completed/%d", 4_000_000+first+i)
			c.Queue = fmt.Sprintf("0123456789abcdef0123456789abcdef/operation-%d", first+i)
			all = append(all, c)
		}
		answers, err := r.ClaimTogether(b.Context(), all, terms)
		require.NoError(b, err)
		for i, a := range answers {
			require.NoError(b, a.Err)
			require.Equal(b, event.Granted, a.Verdict)
			all[i] = a.Claim
		}
	}
	confirm := func(int) {
		done := make([]event.Delivery, group)
		for i, c := range all {
			done[i] = event.Delivery{Key: c.Key, Token: c.Token, Offset: c.FromOffset, Place: c.Place, Keep: terms.Keep, LeaseUntil: c.LeaseUntil}
		}
		_, err := r.Confirm(b.Context(), done)
		require.NoError(b, err)
	}
	see := func(first int) {
		seen := make([]event.Number, group)
		for i := range seen {
			n := first + i
			if i%8 == 7 {
				n -= group // a quarter of a group is late
			}
			seen[i] = event.Number{Webhook: "0123456789abcdef0123456789abcdef", N: uint64(1_000_000_000 + n)} // #nosec G115 -- above 0
		}
		require.NoError(b, r.See(b.Context(), seen))
	}
	primitives := func(first int) {
		pipe := client.Pipeline()
		for i := range group {
			c := realistic(first + i)
			key := namespace + ":plain:" + c.Key
			pipe.HSet(b.Context(), key, "t", c.Token, "s", "claimed", "r", c.Replica, "o", c.Topic, "p", c.Partition,
				"f", c.FromOffset, "u", c.FromOffset)
			pipe.PExpire(b.Context(), key, terms.Keep)
			pipe.SetNX(b.Context(), key+":alias", c.Key, terms.Keep)
			pipe.Exists(b.Context(), key+":queue")
		}
		_, err := pipe.Exec(b.Context())
		require.NoError(b, err)
	}
	next := 0
	for _, bench := range []struct {
		name  string
		steps []func(first int)
	}{
		{"claim", []func(int){claim}},
		{"claim, primitives", []func(int){primitives}},
		{"claim and confirm", []func(int){claim, confirm}},
		{"see", []func(int){see}},
		{"all", []func(int){claim, confirm, see}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			began := cpuOf(b, client)
			for b.Loop() {
				next += group
				for _, step := range bench.steps {
					step(next)
				}
			}
			b.ReportMetric(float64(cpuOf(b, client)-began)/1000/float64(b.N*group), "redis-µs/event")
		})
	}
}

// cpuOf is the time of the processor that the server has taken.
func cpuOf(b *testing.B, client *redis.Client) time.Duration {
	text, err := client.Info(b.Context(), "cpu").Result()
	require.NoError(b, err)
	var sum time.Duration
	for _, field := range []string{"used_cpu_user", "used_cpu_sys"} {
		d, err := time.ParseDuration(info(text, field) + "s")
		require.NoError(b, err)
		sum += d
	}
	return sum
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
