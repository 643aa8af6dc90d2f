package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

const topic = "awareid.enrollment"

// newBroker starts an in-process broker that speaks Kafka's protocol.
func newBroker(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster
}

func newKafka(t *testing.T, cluster *kfake.Cluster, produceTimeout time.Duration) *dispatch.Kafka {
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{topic},
		ProduceTimeout: produceTimeout, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	require.NoError(t, k.EnsureTopics(t.Context(), dispatch.TopicPlan{Create: true, Partitions: 1, Replication: 1}))
	require.NoError(t, k.Start(t.Context()))
	return k
}

// produce waits for the outcome of one record.
func produce(k *dispatch.Kafka, r dispatch.Record, timeout time.Duration) (int64, error) {
	type outcome struct {
		offset int64
		err    error
	}
	done := make(chan outcome, 1)
	k.Append(event.Place{Topic: topic}, r, time.Now().Add(timeout), func(offset int64, err error) {
		done <- outcome{offset, err}
	})
	o := <-done
	return o.offset, o.err
}

// consume reads the topic from its beginning with another client.
func consume(t *testing.T, cluster *kfake.Cluster, want int) []*kgo.Record {
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(topic))
	require.NoError(t, err)
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var records []*kgo.Record
	for len(records) < want {
		fetched := client.PollFetches(ctx)
		require.NoError(t, fetched.Err0(), "%d of %d records are there", len(records), want)
		records = append(records, fetched.Records()...)
	}
	return records
}

func TestARecordArrivesWhole(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, 5*time.Second)
	want := dispatch.Record{
		Key: "operation", Value: []byte(`{"id":"é"}`),
		Headers: []event.Header{{Key: "ce_id", Value: []byte("1")}, {Key: "empty", Value: nil}},
	}
	before := time.Now()
	offset, err := produce(k, want, 5*time.Second)
	require.NoError(t, err)
	require.EqualValues(t, 0, offset)

	got := consume(t, cluster, 1)[0]
	require.Equal(t, want.Key, string(got.Key))
	require.Equal(t, want.Value, got.Value)
	require.WithinDuration(t, before, got.Timestamp, 5*time.Second)
	require.Len(t, got.Headers, 2)
	require.Equal(t, "ce_id", got.Headers[0].Key)
	require.Equal(t, "1", string(got.Headers[0].Value))
	require.Empty(t, got.Headers[1].Value)
}

func TestConcurrentRecordsShareBatches(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, 5*time.Second)
	_, err := produce(k, dispatch.Record{Value: []byte("warm")}, 5*time.Second)
	require.NoError(t, err)

	var requests atomic.Int64
	gate := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		requests.Add(1)
		<-gate
		return nil, nil, false
	})
	const n = 64
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		k.Append(event.Place{Topic: topic}, dispatch.Record{Value: fmt.Append(nil, i)}, time.Now().Add(5*time.Second), func(offset int64, err error) {
			defer wg.Done()
			if err != nil || offset != int64(i+1) {
				t.Errorf("record %d: offset %d, error %v", i, offset, err)
			}
		})
	}
	close(gate)
	wg.Wait()
	require.LessOrEqual(t, requests.Load(), int64(2), "what arrives during a request makes one batch")
	for i, r := range consume(t, cluster, n+1)[1:] {
		require.Equal(t, fmt.Sprint(i), string(r.Value), "in the order of Append")
	}
}

// produceAnswer is an answer that stores nothing.
func produceAnswer(req kmsg.Request, code int16) kmsg.Response {
	r := req.(*kmsg.ProduceRequest)
	answer := r.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range r.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic = t.Topic
		for _, asked := range t.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode, p.BaseOffset = asked.Partition, code, -1
			topic.Partitions = append(topic.Partitions, p)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// failFirst answers the first produce request itself.
func failFirst(cluster *kfake.Cluster, code *kerr.Error) {
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		return produceAnswer(req, code.Code), nil, true
	})
}

func TestWhatAnotherAttemptMayCureIsTriedAgain(t *testing.T) {
	for _, code := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend,
		kerr.RequestTimedOut, kerr.LeaderNotAvailable, kerr.OutOfOrderSequenceNumber, kerr.InvalidProducerEpoch,
	} {
		t.Run(code.Message, func(t *testing.T) {
			cluster := newBroker(t)
			k := newKafka(t, cluster, 5*time.Second)
			failFirst(cluster, code)
			offset, err := produce(k, dispatch.Record{Value: []byte("v")}, 5*time.Second)
			require.NoError(t, err)
			require.EqualValues(t, 0, offset)
			require.Len(t, consume(t, cluster, 1), 1)
		})
	}
}

func TestALostAnswerDoesNotRepeatTheRecord(t *testing.T) {
	cluster := newBroker(t)
	proxy := newSwallower(t, cluster.ListenAddrs()[0])
	k := newKafkaAt(t, proxy, cluster, 3*time.Second)
	_, err := produce(k, dispatch.Record{Value: []byte("warm")}, 3*time.Second)
	require.NoError(t, err)

	proxy.swallowNext()
	offset, err := produce(k, dispatch.Record{Value: []byte("once")}, 3*time.Second)
	require.NoError(t, err)
	require.EqualValues(t, 1, offset)
	require.True(t, proxy.swallowed(), "the first answer was lost")
	_, err = produce(k, dispatch.Record{Value: []byte("after")}, 3*time.Second)
	require.NoError(t, err)

	var values []string
	for _, r := range consume(t, cluster, 3) {
		values = append(values, string(r.Value))
	}
	require.Equal(t, []string{"warm", "once", "after"}, values)
}

func TestOutcomesAtTheDeadline(t *testing.T) {
	for name, tc := range map[string]struct {
		code *kerr.Error
		want error
	}{
		"the broker said no to each attempt": {kerr.NotEnoughReplicas, dispatch.ErrNotStored},
		"one attempt may have arrived":       {kerr.RequestTimedOut, dispatch.ErrUnknown},
		"not allowed":                        {kerr.TopicAuthorizationFailed, dispatch.ErrNotStored},
		"too large":                          {kerr.MessageTooLarge, dispatch.ErrRefused},
		"invalid":                            {kerr.InvalidRecord, dispatch.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := newBroker(t)
			k := newKafka(t, cluster, 500*time.Millisecond)
			cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				return produceAnswer(req, tc.code.Code), nil, true
			})
			_, err := produce(k, dispatch.Record{Value: []byte("v")}, 500*time.Millisecond)
			require.ErrorIs(t, err, tc.want)
			for _, other := range []error{dispatch.ErrNotStored, dispatch.ErrUnknown, dispatch.ErrRefused} {
				require.Equal(t, other == tc.want, errors.Is(err, other))
			}
		})
	}
}

func TestARefusedRecordFailsAlone(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, 5*time.Second)
	_, err := produce(k, dispatch.Record{Value: []byte("warm")}, 5*time.Second)
	require.NoError(t, err)
	gate := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		<-gate
		if strings.Contains(string(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records), "bad") {
			return produceAnswer(req, kerr.InvalidRecord.Code), nil, true
		}
		return nil, nil, false
	})
	var wg sync.WaitGroup
	outcomes := make([]error, 5)
	for i, value := range []string{"first", "good", "bad", "good", "good"} {
		wg.Add(1)
		k.Append(event.Place{Topic: topic}, dispatch.Record{Value: []byte(value)}, time.Now().Add(5*time.Second), func(_ int64, err error) {
			outcomes[i] = err
			wg.Done()
		})
	}
	close(gate)
	wg.Wait()
	for i, err := range outcomes {
		if i == 2 {
			require.ErrorIs(t, err, dispatch.ErrRefused)
		} else {
			require.NoError(t, err, i)
		}
	}
	require.Len(t, consume(t, cluster, 5), 5)
}

func TestAnUnreachableBrokerStoresNothing(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, 500*time.Millisecond)
	cluster.Close()
	_, err := produce(k, dispatch.Record{Value: []byte("v")}, 500*time.Millisecond)
	require.ErrorIs(t, err, dispatch.ErrNotStored)
}

func TestFindReadsBack(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, 5*time.Second)
	id := func(i int) []event.Header {
		return []event.Header{{Key: "ce_id", Value: fmt.Append(nil, i)}, {Key: "ce_source", Value: []byte("w")}}
	}
	const n = 50
	for i := range n {
		_, err := produce(k, dispatch.Record{Value: []byte("v"), Headers: id(i)}, 5*time.Second)
		require.NoError(t, err)
	}
	at := event.Place{Topic: topic}
	for _, tc := range []struct {
		id    int
		from  int64
		found bool
	}{{0, 0, true}, {n - 1, 0, true}, {n - 1, n - 1, true}, {n - 2, n - 1, false}, {n, 0, false}, {0, n, false}} {
		offset, found, err := k.Find(t.Context(), at, tc.from, id(tc.id))
		require.NoError(t, err)
		require.Equal(t, tc.found, found, tc)
		if found {
			require.EqualValues(t, tc.id, offset)
		}
	}
	_, found, err := k.Find(t.Context(), at, 0, append(id(3)[:1], event.Header{Key: "ce_source", Value: []byte("other")}))
	require.NoError(t, err)
	require.False(t, found, "the id of another webhook is another event")
}

func TestPlaceAgreesWithTheJavaClient(t *testing.T) {
	cluster := newBroker(t, kfake.SeedTopics(12, topic))
	k := newKafka(t, cluster, 5*time.Second)
	java := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	for i := range 100 {
		key := fmt.Sprint("operation-", i)
		at, end, err := k.Place(t.Context(), topic, key)
		require.NoError(t, err)
		require.Zero(t, end)
		require.Equal(t, java.Partition(&kgo.Record{Key: []byte(key)}, 12), at.Partition)
	}
	_, _, err := k.Place(t.Context(), "elsewhere", "k")
	require.Error(t, err)
}

func TestMissingTopics(t *testing.T) {
	cluster := newBroker(t)
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{"b", "a"}, ProduceTimeout: time.Second,
		Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	var missing *dispatch.MissingTopicsError
	require.ErrorAs(t, k.EnsureTopics(t.Context(), dispatch.TopicPlan{}), &missing)
	require.Equal(t, []string{"a", "b"}, missing.Topics)

	plan := dispatch.TopicPlan{Create: true, Partitions: 3, Replication: 1}
	require.NoError(t, k.EnsureTopics(t.Context(), plan))
	require.NoError(t, k.EnsureTopics(t.Context(), plan), "the second time there is nothing to do")
	require.NoError(t, k.Start(t.Context()))
	require.NoError(t, k.Ready())
}

func TestReviewTopics(t *testing.T) {
	cluster := newBroker(t, kfake.SeedTopics(1, topic))
	k := newKafka(t, cluster, time.Second)
	findings, err := k.ReviewTopics(t.Context(), 960<<10)
	require.NoError(t, err)
	require.Empty(t, findings)

	findings, err = k.ReviewTopics(t.Context(), 1<<20)
	require.NoError(t, err)
	require.Len(t, findings, 1)
	require.True(t, findings[0].Loses)
	require.Contains(t, findings[0].String(), "topic awareid.enrollment: max.message.bytes is 1048588, wants at least")
}

// TestAPartitionsEndNeverGoesBack has brokers of which one lags behind.
func TestAPartitionsEndNeverGoesBack(t *testing.T) {
	k := newKafka(t, newBroker(t), 5*time.Second)
	for _, tc := range []struct{ told, want int64 }{{5, 5}, {3, 5}, {5, 5}, {6, 6}, {0, 6}} {
		k.Advance(event.Place{Topic: topic}, tc.told)
		_, end, err := k.Place(t.Context(), topic, "key")
		require.NoError(t, err)
		require.Equal(t, tc.want, end)
	}
}

// TestTopicsFitTheLargestBody: what the gateway makes, its own review accepts.
func TestTopicsFitTheLargestBody(t *testing.T) {
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: newBroker(t).ListenAddrs(), Topics: []string{topic}, ProduceTimeout: time.Second,
		Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	const body = 5 << 20
	plan := dispatch.TopicPlan{Create: true, BodyBytes: body, Partitions: 1, Replication: 1}
	require.NoError(t, k.EnsureTopics(t.Context(), plan))
	findings, err := k.ReviewTopics(t.Context(), body)
	require.NoError(t, err)
	require.Empty(t, findings)
}

// TestReviewMinInSync: acks=all means little where one replica is enough.
func TestReviewMinInSync(t *testing.T) {
	cluster := newBroker(t, kfake.NumBrokers(3), kfake.DefaultNumPartitions(1))
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{topic}, ProduceTimeout: time.Second,
		Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	require.NoError(t, k.EnsureTopics(t.Context(), dispatch.TopicPlan{Create: true, Partitions: 1, Replication: 3}))
	findings, err := k.ReviewTopics(t.Context(), 1000)
	require.NoError(t, err)
	require.Len(t, findings, 1)
	require.False(t, findings[0].Loses)
	require.Contains(t, findings[0].String(), "min.insync.replicas is 1, wants 2 or more")
}
