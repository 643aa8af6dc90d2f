package dispatch_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// newWideKafka writes to a topic of many partitions.
func newWideKafka(t *testing.T, cluster *kfake.Cluster, partitions int) *dispatch.Kafka {
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{topic},
		ProduceTimeout: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	require.NoError(t, k.EnsureTopics(t.Context(), dispatch.TopicPlan{Create: true, Partitions: partitions, Replication: 1}))
	require.NoError(t, k.Start(t.Context()))
	return k
}

// appendTo hands a record to a partition. The channel gets its outcome.
func appendTo(k *dispatch.Kafka, partition int, value string) <-chan error {
	outcome := make(chan error, 1)
	k.Append(event.Place{Topic: topic, Partition: partition}, dispatch.Record{Value: []byte(value)}, time.Now().Add(5*time.Second), func(offset int64, err error) {
		if err == nil && offset != 0 && value == "first" {
			err = fmt.Errorf("the first record has offset %d", offset)
		}
		outcome <- err
	})
	return outcome
}

// holdPartition keeps every request with a record for one partition from being
// answered until release is called. seen counts the requests and their partitions.
func holdPartition(t *testing.T, cluster *kfake.Cluster, partition int32) (requests, batches *atomic.Int64, release func()) {
	gate := make(chan struct{})
	release = sync.OnceFunc(func() { close(gate) })
	t.Cleanup(release)
	requests, batches = new(atomic.Int64), new(atomic.Int64)
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		requests.Add(1)
		held := false
		for _, p := range req.(*kmsg.ProduceRequest).Topics[0].Partitions {
			batches.Add(1)
			held = held || p.Partition == partition
		}
		if held {
			cluster.SleepControl(func() { <-gate })
		}
		return nil, nil, false
	})
	return requests, batches, release
}

// Partitions of one broker share requests, whose answers reach each its own, and
// the id of one producer.
func TestPartitionsShareRequests(t *testing.T) {
	const partitions = 64
	cluster := newBroker(t)
	var producers atomic.Int64
	cluster.ControlKey(int16(kmsg.InitProducerID), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		producers.Add(1)
		return nil, nil, false
	})
	k := newWideKafka(t, cluster, partitions)
	requests, batches, release := holdPartition(t, cluster, 0)
	first := []<-chan error{appendTo(k, 0, "first"), appendTo(k, 0, "second")}
	require.Eventually(t, func() bool { return requests.Load() == 1 }, 5*time.Second, time.Millisecond)
	var rest []<-chan error
	for p := 1; p < partitions; p++ {
		rest = append(rest, appendTo(k, p, "first"))
	}
	for p, outcome := range rest {
		require.NoError(t, <-outcome, "partition %d", p+1)
	}
	require.EqualValues(t, partitions, batches.Load())
	require.Less(t, requests.Load(), int64(partitions/2))
	release()
	for _, outcome := range first {
		require.NoError(t, <-outcome)
	}
	require.EqualValues(t, 1, producers.Load())
	require.Len(t, consume(t, cluster, partitions+1), partitions+1)
}

// A partition that does not answer holds up what went with it in one request, and
// for a moment what comes behind that.
func TestASlowPartitionHoldsUpFewOthers(t *testing.T) {
	cluster := newBroker(t)
	k := newWideKafka(t, cluster, 8)
	requests, _, release := holdPartition(t, cluster, 0)
	slow := appendTo(k, 0, "first")
	require.Eventually(t, func() bool { return requests.Load() == 1 }, 5*time.Second, time.Millisecond)
	for p := 1; p < 8; p++ {
		require.NoError(t, <-appendTo(k, p, "first"))
	}
	require.Empty(t, slow)
	release()
	require.NoError(t, <-slow)
}

// A partition that fails goes by itself from then on, and the others go on.
func TestAFailingPartitionGoesAlone(t *testing.T) {
	cluster := newBroker(t)
	k := newWideKafka(t, cluster, 4)
	var alone, together atomic.Int64
	ill := atomic.Bool{}
	ill.Store(true)
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		partitions := req.(*kmsg.ProduceRequest).Topics[0].Partitions
		for _, p := range partitions {
			if p.Partition == 0 && len(partitions) > 1 {
				together.Add(1)
			}
		}
		if partitions[0].Partition != 0 || !ill.Load() {
			return nil, nil, false
		}
		alone.Add(1)
		return produceAnswer(req, kerr.NotEnoughReplicas.Code), nil, true
	})
	sick := appendTo(k, 0, "first")
	require.Eventually(t, func() bool { return alone.Load() > 0 }, 5*time.Second, time.Millisecond)
	for round := 0; alone.Load() < 4; round++ {
		var healthy []<-chan error
		for p := 1; p < 4; p++ {
			healthy = append(healthy, appendTo(k, p, fmt.Sprint(round)))
		}
		for _, outcome := range healthy {
			require.NoError(t, <-outcome)
		}
	}
	require.Zero(t, together.Load())
	ill.Store(false)
	require.NoError(t, <-sick)
}
