package dispatch_test

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// appendAll hands over n records of one key, one behind the other, runs during
// in between, and wants all of them stored.
func appendAll(t *testing.T, k *dispatch.Kafka, n int, value func(i int) []byte, during func(i int)) {
	t.Helper()
	var all sync.WaitGroup
	for i := range n {
		during(i)
		all.Add(1)
		k.Append(event.Place{Topic: topic}, dispatch.Record{Key: "operation", Value: value(i)}, time.Now().Add(produceTimeout), func(_ int64, err error) {
			defer all.Done()
			if err != nil {
				t.Errorf("record %d: %v", i, err)
			}
		})
	}
	all.Wait()
}

func number(i int) []byte { return fmt.Append(nil, i) }

// requireInOrder wants each of the numbers once, in order.
func requireInOrder(t *testing.T, cluster *kfake.Cluster, n int) {
	t.Helper()
	records := read(t, cluster, topic)
	for i, r := range records {
		require.Equal(t, fmt.Sprint(i), string(r.Value))
	}
	require.Len(t, records, n)
}

func TestTheLeaderMoves(t *testing.T) {
	t.Parallel()
	cluster := newBroker(t, kfake.NumBrokers(3))
	k := newKafka(t, cluster, produceTimeout)
	const n = 300
	appendAll(t, k, n, number, func(i int) {
		switch {
		case i%50 == 49: // in the middle of the stream
			next := (cluster.LeaderFor(topic, 0) + 1) % 3
			require.NoError(t, cluster.MoveTopicPartition(topic, 0, next))
		case i%50 == 25: // and after the records so far
			_, err := produceOn(k, "", 0)
			require.Error(t, err, "no time")
		}
	})
	requireInOrder(t, cluster, n)
}

// produceOn is produce with no more time than that.
func produceOn(k *dispatch.Kafka, value string, timeout time.Duration) (int64, error) {
	return produce(k, dispatch.Record{Value: []byte(value)}, timeout)
}

// TestALeaderThatLostItsOffice has an answer that looks like a refusal and may
// come after the append, so that no other attempt may produce.
func TestALeaderThatLostItsOffice(t *testing.T) {
	for name, answers := range map[string][]*kerr.Error{
		"to the end":                  {kerr.NotLeaderForPartition},
		"and the session broke on it": {kerr.NotLeaderForPartition, kerr.OutOfOrderSequenceNumber},
		"the disk failed":             {kerr.KafkaStorageError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := newBroker(t)
			k := newKafka(t, cluster, 500*time.Millisecond)
			asked := 0
			cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				code := answers[min(asked, len(answers)-1)]
				asked++
				return produceAnswer(req, code.Code), nil, true
			})
			_, err := produceOn(k, "v", 500*time.Millisecond)
			requireCause(t, dispatch.ErrUnknown, err)
		})
	}
}

func TestTheBrokerRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(dir), kfake.SyncWrites())
	require.NoError(t, err)
	k := newKafka(t, cluster, produceTimeout)
	_, text, err := net.SplitHostPort(cluster.ListenAddrs()[0])
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)

	const n = 60
	appendAll(t, k, n, number, func(i int) {
		switch i {
		case n / 3: // some of the records before are under way
			cluster.Close()
		case n / 2:
			cluster = newBroker(t, kfake.DataDir(dir), kfake.Ports(port))
		}
	})
	requireInOrder(t, cluster, n)
	require.Eventually(t, func() bool { return k.Ready() == nil }, 10*time.Second, 10*time.Millisecond)
}

func TestTheTopicGrows(t *testing.T) {
	t.Parallel()
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	_, err = kadm.NewClient(client).CreatePartitions(t.Context(), 3, topic)
	require.NoError(t, err)

	java := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	require.Eventually(t, func() bool {
		for i := range 50 {
			key := fmt.Sprint("operation-", i)
			at, end, err := k.Place(t.Context(), topic, key)
			if err != nil || end != 0 {
				t.Errorf("place %s: offset %d, %v", key, end, err)
				return true
			}
			if at.Partition != java.Partition(&kgo.Record{Key: []byte(key)}, 4) {
				return false
			}
		}
		return true
	}, 10*time.Second, time.Millisecond)
}

// TestOrderOfEachKey has records of many keys that are cut into many batches,
// some of which are answered with an error first.
func TestOrderOfEachKey(t *testing.T) {
	t.Parallel()
	cluster := newBroker(t, kfake.NumBrokers(3), kfake.SeedTopics(4, topic))
	k := newKafka(t, cluster, produceTimeout)
	faults := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: topic, Err: kerr.RequestTimedOut, Count: 5})
	const keys, each = 20, 100
	errs := make(chan error, keys*each)
	for i := range each {
		for key := range keys {
			r := dispatch.Record{Key: fmt.Sprint("operation-", key), Value: number(i)}
			at, _, err := k.Place(t.Context(), topic, r.Key)
			require.NoError(t, err)
			k.Append(at, r, time.Now().Add(produceTimeout), func(_ int64, err error) { errs <- err })
		}
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	require.Equal(t, 5, faults.Hits())
	next := map[string]int{}
	for _, r := range read(t, cluster, topic) {
		require.Equal(t, fmt.Sprint(next[string(r.Key)]), string(r.Value), "%s", r.Key)
		next[string(r.Key)]++
	}
	require.Len(t, next, keys)
	require.Equal(t, keys*each, stored(cluster, topic))
}

// TestBatchesFitTheTopic wants no batch refused, where one that is full would
// be too large.
func TestBatchesFitTheTopic(t *testing.T) {
	const limit, value = 20 << 10, 1000
	cluster := newBroker(t)
	require.NoError(t, cluster.CreateTopic(topic, 1, map[string]string{"max.message.bytes": fmt.Sprint(limit)}))
	k := newKafka(t, cluster, produceTimeout)
	_, err := k.ReviewTopics(t.Context(), 1)
	require.NoError(t, err)

	var largest, sizes int
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		largest = max(largest, len(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records))
		sizes++
		return nil, nil, false
	})
	const n = 200
	padded := func(i int) []byte { return fmt.Appendf(nil, "%-*d", value, i) }
	appendAll(t, k, n, padded, func(int) {})
	require.Len(t, read(t, cluster, topic), n)
	require.LessOrEqual(t, largest, limit)
	require.Greater(t, largest, limit-2*value, "and is used")
	require.Less(t, sizes, 2*n*value/limit)
}

func TestReadyNeedsAnAnswerNowAndThen(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, topic))
	require.NoError(t, err)
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{topic},
		ProduceTimeout: time.Second, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	require.Error(t, k.Ready(), "none was asked")
	require.NoError(t, k.Start(t.Context()))
	require.NoError(t, k.Ready())

	k.SetContact(time.Now().Add(-dispatch.ReadyFor))
	require.Error(t, k.Ready(), "the last answer is long ago")
	_, err = produceOn(k, "v", time.Second)
	require.NoError(t, err)
	require.NoError(t, k.Ready(), "a record that is stored is an answer too")

	cluster.Close()
	k.SetContact(time.Now().Add(-dispatch.ReadyFor))
	_, err = produceOn(k, "v", 100*time.Millisecond)
	require.Error(t, err)
	require.Error(t, k.Ready())
}

func TestStartNeedsTheTopics(t *testing.T) {
	cluster := newBroker(t)
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{topic},
		ProduceTimeout: time.Second, Log: slog.New(slog.DiscardHandler),
	})
	err := k.Start(t.Context())
	require.ErrorContains(t, err, topic)
	require.Error(t, k.Ready())
	k.Close()
}

// TestARecordMayFollowFromTheOutcomeOfAnother has a done that appends.
func TestARecordMayFollowFromTheOutcomeOfAnother(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	at := event.Place{Topic: topic}
	outcomes := make(chan error)
	k.Append(at, dispatch.Record{Value: []byte("late")}, time.Now(), func(_ int64, err error) {
		go func() { outcomes <- err }()
		k.Append(at, dispatch.Record{Value: number(0)}, time.Now().Add(produceTimeout), func(_ int64, err error) {
			go func() { outcomes <- err }()
		})
	})
	requireCause(t, dispatch.ErrNotStored, <-outcomes)
	require.NoError(t, <-outcomes)
	requireInOrder(t, cluster, 1)
}

func TestAfterCloseNothingRuns(t *testing.T) {
	cluster := newBroker(t)
	newProducer(t, cluster, 3).Close() // creates the topics
	s := stores["file"](t, newClock())
	running := goleak.IgnoreCurrent()

	k := newProducer(t, cluster, 3)
	d := newDispatcher(t, s, k)
	for i := range 10 {
		deliver(t, d, fmt.Sprint("evt-", i), dispatch.Accepted)
		require.NoError(t, d.Quarantine(t.Context(), suspect(webhook)))
	}
	d.close(t)
	k.Close()
	require.Error(t, k.EnsureTopics(t.Context(), dispatch.TopicPlan{}), "a straggler is told that it is over")
	goleak.VerifyNone(t, running)
}
