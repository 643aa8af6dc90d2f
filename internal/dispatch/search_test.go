package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/event"
)

var place = event.Place{Topic: topic}

// bulk writes n events of a size in large batches.
func bulk(t testing.TB, cluster *kfake.Cluster, n, size int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	require.NoError(t, err)
	defer client.Close()
	value := bytes.Repeat([]byte("x"), size)
	for i := range n {
		r := &kgo.Record{Topic: topic, Value: value}
		for _, h := range inbound(fmt.Sprint("evt-", i)).Event.Headers(webhook) {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		client.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	require.NoError(t, client.Flush(t.Context()))
}

// reads notes the offset of every fetch, and calls during at each.
type reads struct {
	mu      sync.Mutex
	offsets []int64
	during  func(n int)
}

func watchReads(cluster *kfake.Cluster) *reads {
	r := &reads{during: func(int) {}}
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		r.mu.Lock()
		r.offsets = append(r.offsets, req.(*kmsg.FetchRequest).Topics[0].Partitions[0].FetchOffset)
		n, during := len(r.offsets), r.during
		r.mu.Unlock()
		during(n)
		return nil, nil, false
	})
	return r
}

func (r *reads) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.offsets)
}

// restart forgets what was read, and returns it.
func (r *reads) restart(during func(n int)) []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	offsets := r.offsets
	r.offsets, r.during = nil, during
	return offsets
}

// TestWaitingCallsReadTogether: 200 calls cost the fetches of one.
func TestWaitingCallsReadTogether(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	const n, calls = 300, 200
	bulk(t, cluster, n, 75<<10)
	reads := watchReads(cluster)
	requireFind(t, k, 0, n, -1)
	one := len(reads.restart(func(int) {}))
	require.Greater(t, one, 5)

	var held sync.Once
	cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		held.Do(func() { await(t, func() bool { return k.Waiting(place) == calls }) })
		return nil, nil, false
	})
	var all sync.WaitGroup
	for i := range calls {
		all.Go(func() {
			id, want := i, int64(i)
			if i%2 == 1 {
				id, want = n+1+i, -1
			}
			offset, found, err := k.Find(t.Context(), place, 0, identity(id))
			if err != nil || found != (want >= 0) || found && offset != want {
				t.Errorf("event %d: offset %d, found %v, %v", id, offset, found, err)
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, reads.count(), one)
	await(t, func() bool { return !k.Searching(place) })
}

// await can be called outside the test's goroutine.
func await(t *testing.T, condition func() bool) {
	t.Helper()
	assert.Eventually(t, condition, 10*time.Second, time.Millisecond)
}

// TestALongSearchDoesNotHoldUpAShortOne that comes in the middle of it, nor one
// that finds its record in what is read for the long one.
func TestALongSearchDoesNotHoldUpAShortOne(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	const n = 300
	bulk(t, cluster, n, 75<<10)
	reads := watchReads(cluster)
	requireFind(t, k, 0, n, -1)

	var short sync.WaitGroup
	var readForShort atomic.Int64
	one := len(reads.restart(func(r int) {
		if r != 2 {
			return
		}
		for _, id := range []int{n - 2, n + 1} {
			short.Go(func() {
				_, found, err := k.Find(t.Context(), place, n-10, identity(id))
				if err != nil || found != (id < n) {
					t.Errorf("event %d: %v, %v", id, found, err)
				}
				readForShort.Store(max(readForShort.Load(), int64(reads.count()-2)))
			})
		}
		await(t, func() bool { return k.Waiting(place) == 3 })
	}))
	requireFind(t, k, 0, n+2, -1)
	short.Wait()
	require.LessOrEqual(t, readForShort.Load(), int64(4))
	require.LessOrEqual(t, reads.count(), one+2)
}

// TestASearchLongerThanItsContext comes to its end over several calls, and reads
// nothing again but what was under way.
func TestASearchLongerThanItsContext(t *testing.T) {
	const n = 300
	for name, tc := range map[string]struct {
		id     int
		byTime bool
	}{
		"it is there":          {id: n - 1},
		"it is not":            {id: n},
		"it is not, by a time": {id: n, byTime: true},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := newBroker(t)
			k := newKafka(t, cluster, produceTimeout)
			bulk(t, cluster, n, 75<<10)
			reads := watchReads(cluster)
			requireFind(t, k, 0, n+1, -1)
			one := len(reads.restart(func(int) {}))

			var found bool
			calls := 0
			var read []int64
			for err := context.Canceled; err != nil; calls++ {
				ctx, cancel := context.WithCancel(t.Context())
				reads.restart(func(r int) {
					if r == 2 {
						cancel()
					}
				})
				if tc.byTime {
					_, found, err = k.FindSince(ctx, place, time.Now().Add(-time.Hour), identity(tc.id))
				} else {
					_, found, err = k.Find(ctx, place, 0, identity(tc.id))
				}
				cancel()
				await(t, func() bool { return !k.Searching(place) })
				read = append(read, reads.restart(func(int) {})...)
				require.Less(t, calls, one+1)
			}
			require.Equal(t, tc.id < n, found)
			require.Greater(t, calls, 3)
			require.True(t, slices.IsSorted(read), "%v", read)
			require.LessOrEqual(t, len(read), one+calls)
		})
	}
}
