package store_test

import (
	"crypto/rand"
	"fmt"
	"math"
	randv2 "math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// TestMemoryOfRedis measures what the package comment says of the memory.
func TestMemoryOfRedis(t *testing.T) {
	if os.Getenv("TEST_REDIS_URL") == "" {
		t.Skip("needs TEST_REDIS_URL")
	}
	const events = 30_000
	client, namespace := realClient(t), "test-"+rand.Text()[:7]
	t.Cleanup(func() { removeKeys(t, client, namespace) })
	f := fixture{claims: openRedis(t, os.Getenv("TEST_REDIS_URL"), namespace)}

	used := func() int { return usedMemory(t, client) }
	empty := used()
	done := make([]event.Delivery, events)
	for i := range events {
		c := realistic(i)
		f.mustClaim(t, c)
		done[i] = event.Delivery{Key: c.Key, Token: c.Token, Offset: c.FromOffset + 40, Place: c.Place, Keep: 168 * time.Hour}
	}
	open := used() - empty
	for batch := range slices.Chunk(done, 100) { // a large pipeline would be measured too
		f.confirm(t, batch...)
	}
	delivered := used() - empty

	aliases := math.MaxInt
	for round := range 3 { // other tests write to the same Redis: the least counts
		before := used()
		for i := range events {
			c := realistic(i)
			c.Alias = fmt.Sprintf("0123456789abcdef0123456789abcdef/authentication.completed/%d", 4_000_000+round*events+i)
			f.mustClaim(t, c)
		}
		aliases = min(aliases, used()-before)
	}

	t.Logf("bytes an event: %d claimed, %d delivered, %d its alias", open/events, delivered/events, aliases/events)
	require.Less(t, open/events, 450)
	require.Less(t, delivered/events, 400)
	require.Less(t, aliases/events, 300)
}

// TestMemoryOfNumbers tracks 10,000,000 numbers, of which one in a hundred never
// comes. One batch in ten is out of order, and half of it late.
func TestMemoryOfNumbers(t *testing.T) {
	if os.Getenv("TEST_REDIS_URL") == "" {
		t.Skip("needs TEST_REDIS_URL")
	}
	const total, window = 10_000_000, 2000
	client, namespace := realClient(t), "test-"+rand.Text()[:7]
	t.Cleanup(func() { removeKeys(t, client, namespace) })
	r := openRedis(t, os.Getenv("TEST_REDIS_URL"), namespace)
	empty := usedMemory(t, client)

	rng, holes := randv2.New(randv2.NewPCG(1, 1)), 0
	var came []event.Number
	for first := uint64(0); first < total; first += window {
		for n := first; n < first+window; n++ {
			if rng.IntN(100) == 0 && n > 0 {
				holes++
				continue
			}
			came = append(came, event.Number{Webhook: "0123456789abcdef0123456789abcdef", N: 1_000_000_000 + n})
		}
		late := 0
		if rng.IntN(10) == 0 {
			rng.Shuffle(len(came), func(i, j int) { came[i], came[j] = came[j], came[i] })
			late = len(came) / 2
		}
		require.NoError(t, r.See(t.Context(), came[late:]))
		came = came[:late]
	}
	require.NoError(t, r.See(t.Context(), came))

	used := usedMemory(t, client) - empty
	sums, err := r.Numbers(t.Context(), "0123456789abcdef0123456789abcdef")
	require.NoError(t, err)
	t.Logf("%d numbers, %d missing: %.1f MiB of used_memory", total, holes, float64(used)/(1<<20))
	require.InDelta(t, holes, sums.Missing, 10) // holes at the end do not show yet
	require.Zero(t, sums.Merged)
	require.Less(t, used, 64<<20)
}

func usedMemory(t *testing.T, client *redis.Client) int {
	t.Helper()
	var bytes int
	_, err := fmt.Sscanf(info(client.Info(t.Context(), "memory").Val(), "used_memory"), "%d", &bytes)
	require.NoError(t, err)
	return bytes
}

func TestInfoOfRedis(t *testing.T) {
	if os.Getenv("TEST_REDIS_URL") == "" {
		t.Skip("needs TEST_REDIS_URL")
	}
	r := openRedis(t, os.Getenv("TEST_REDIS_URL"), "test")

	version, err := r.Version(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^\d+\.\d+`, version)
	policy, err := r.EvictionPolicy(t.Context())
	require.NoError(t, err)
	require.Regexp(t, `^(noeviction|allkeys-|volatile-)`, policy)
}

// realistic is a claim with values of the usual lengths.
func realistic(i int) event.Claim {
	return event.Claim{
		Key:        fmt.Sprintf("0123456789abcdef0123456789abcdef/%08x-1c3b-4a39-9c5d-5f2b7c1d9e10", i),
		Token:      rand.Text(),
		Replica:    "awareid-gateway-7c9d8f6b5-x2x7k",
		Place:      event.Place{Topic: "awareid.authentication", Partition: i % 12},
		FromOffset: 80_000_000 + int64(i),
	}
}

// BenchmarkClaim has 64 callers claim events, on each store, with an alias and
// without.
func BenchmarkClaim(b *testing.B) {
	b.Run("file", func(b *testing.B) {
		f, err := store.OpenFile(b.TempDir()+"/claims.db", time.Now)
		require.NoError(b, err)
		defer f.Close()
		benchmarkClaims(b, f)
	})
	b.Run("redis", func(b *testing.B) {
		if os.Getenv("TEST_REDIS_URL") == "" {
			b.Skip("needs TEST_REDIS_URL")
		}
		client, namespace := realClient(b), "test-"+rand.Text()
		defer removeKeys(b, client, namespace)
		r, err := store.OpenRedis(os.Getenv("TEST_REDIS_URL"), namespace)
		require.NoError(b, err)
		defer r.Close()
		benchmarkClaims(b, r)
	})
}

func benchmarkClaims(b *testing.B, on claims) {
	b.Run("alone", func(b *testing.B) { benchmarkClaim(b, on, realistic) })
	b.Run("aliased", func(b *testing.B) {
		benchmarkClaim(b, on, func(i int) event.Claim {
			c := realistic(1<<30 + i)
			c.Alias = fmt.Sprintf("0123456789abcdef0123456789abcdef/authentication.completed/%d", 4_000_000+i)
			return c
		})
	})
}

func benchmarkClaim(b *testing.B, on claims, claim func(int) event.Claim) {
	next := make(chan int, 64)
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			for i := range next {
				if _, _, err := on.Claim(b.Context(), claim(i), terms); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := 0; b.Loop(); i++ {
		next <- i
	}
	close(next)
	all.Wait()
}
