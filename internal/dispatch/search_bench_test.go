package dispatch_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
)

// newFull is a partition of 100,000 events.
func newFull(b *testing.B) (*kfake.Cluster, *dispatch.Kafka) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	require.NoError(b, err)
	b.Cleanup(cluster.Close)
	bulk(b, cluster, full, 600)
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{topic},
		ProduceTimeout: produceTimeout, Log: slog.New(slog.DiscardHandler),
	})
	b.Cleanup(k.Close)
	require.NoError(b, k.Start(b.Context()))
	return cluster, k
}

const full = 100_000

// BenchmarkFind has concurrent calls for events that are not there, each from the
// beginning of the partition on.
func BenchmarkFind(b *testing.B) {
	cluster, k := newFull(b)
	fetches := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Observe: true, Count: -1})
	id := full
	for _, calls := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(calls), func(b *testing.B) {
			before := fetches.Hits()
			for b.Loop() {
				var all sync.WaitGroup
				for range calls {
					id++ // a new one, of which nothing is remembered
					headers := identity(id)
					all.Go(func() {
						if _, found, err := k.Find(b.Context(), place, 0, headers); found || err != nil {
							b.Error(found, err)
						}
					})
				}
				all.Wait()
			}
			b.ReportMetric(float64(fetches.Hits()-before)/float64(b.N), "fetches/op")
		})
	}
}

func BenchmarkScan(b *testing.B) {
	_, k := newFull(b)
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		require.NoError(b, k.Scan(b.Context(), place, time.Time{}, time.Time{}, func(dispatch.RecordHead) error {
			n++
			return nil
		}))
		require.Equal(b, full, n)
	}
}
