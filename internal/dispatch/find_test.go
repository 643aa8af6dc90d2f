package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// identity is of the i-th event.
func identity(i int) []event.Header {
	return inbound(fmt.Sprint("evt-", i)).Event.Identity(webhook)
}

// fill writes the events from first on, each in a batch of its own.
func fill(t *testing.T, k *dispatch.Kafka, first, n, size int) {
	t.Helper()
	for i := range n {
		r := dispatch.Record{Value: bytes.Repeat([]byte("x"), size), Headers: identity(first + i)}
		_, err := produce(k, r, produceTimeout)
		require.NoError(t, err)
	}
}

// requireFind wants an event at an offset, or nowhere for -1.
func requireFind(t *testing.T, k *dispatch.Kafka, from int64, id int, want int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	offset, found, err := k.Find(ctx, event.Place{Topic: topic}, from, identity(id))
	require.NoError(t, err)
	require.Equal(t, want >= 0, found)
	if found {
		require.Equal(t, want, offset)
	}
}

func TestFindReadsOnWhereOneAnswerIsNotEnough(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	fetches := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Observe: true, Count: -1})
	const n = 12
	fill(t, k, 0, n, 900<<10)
	requireFind(t, k, 0, n-1, n-1)
	requireFind(t, k, 0, n, -1)
	require.GreaterOrEqual(t, fetches.Hits(), 4)
}

func TestFindWhereRetentionHasPassed(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	fill(t, k, 0, 10, 10)
	require.NoError(t, cluster.DeleteRecords(topic, 0, 6))
	requireFind(t, k, 2, 8, 8)
	requireFind(t, k, 2, 3, -1)
	require.NoError(t, cluster.DeleteRecords(topic, 0, 10))
	requireFind(t, k, 2, 8, -1)
	fill(t, k, 10, 1, 10)
	requireFind(t, k, 2, 10, 10)
}

// TestFindWhereTheLogIsAnotherOne has an offset beyond the end, as after an
// unclean election or when the topic was made anew: all of it is read.
func TestFindWhereTheLogIsAnotherOne(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	fill(t, k, 0, 3, 10)
	requireFind(t, k, 100, 1, 1)
	requireFind(t, k, 100, 3, -1)
}

func TestFindTriesAgain(t *testing.T) {
	for name, fault := range map[string]kfake.Fault{
		// A real broker names no offset with this one.
		"out of range":     {Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange},
		"not the leader":   {Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: 3},
		"a failing broker": {Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Err: kerr.UnknownServerError, Count: 3},
	} {
		t.Run(name, func(t *testing.T) {
			cluster := newBroker(t)
			k := newKafka(t, cluster, produceTimeout)
			fill(t, k, 0, 3, 10)
			fault.Topic = topic
			faults := cluster.Fault(fault)
			requireFind(t, k, 1, 2, 2)
			require.Positive(t, faults.Hits())
			requireFind(t, k, 1, 4, -1)
		})
	}
}

func TestFindEndsWithTheContext(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	fill(t, k, 0, 1, 10)
	cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: -1})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, found, err := k.Find(ctx, event.Place{Topic: topic}, 0, identity(0))
	require.Error(t, err)
	require.False(t, found)
}

// TestFindWithABatchThatIsCutOff has an answer that ends in the middle of a
// batch, as a broker sends it when the answer's limit is reached there.
func TestFindWithABatchThatIsCutOff(t *testing.T) {
	batches := make([][]byte, 4)
	for i := range batches {
		r := dispatch.Record{Value: []byte("v"), Headers: identity(i)}
		batches[i] = batchAt(int64(i), r)
	}
	for cut := 1; cut < len(batches[0]); cut += 7 {
		cluster := newBroker(t)
		k := newKafka(t, cluster, produceTimeout)
		cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			offset := req.(*kmsg.FetchRequest).Topics[0].Partitions[0].FetchOffset
			records := batches[offset]
			if offset+1 < int64(len(batches)) {
				records = append(records[:len(records):len(records)], batches[offset+1][:cut]...)
			}
			return fetchAnswer(req, records, int64(len(batches))), nil, true
		})
		endsAt(cluster, int64(len(batches)))
		requireFind(t, k, 0, 3, 3)
		requireFind(t, k, 0, 4, -1)
		k.Close()
		cluster.Close()
	}
}

// endsAt makes the leader say that its log ends there.
func endsAt(cluster *kfake.Cluster, end int64) {
	cluster.ControlKey(int16(kmsg.ListOffsets), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return offsetAnswer(req.(*kmsg.ListOffsetsRequest), end), nil, true
	})
}

// offsetAnswer names one offset for all that is asked for.
func offsetAnswer(r *kmsg.ListOffsetsRequest, offset int64) *kmsg.ListOffsetsResponse {
	answer := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	for _, topic := range r.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = topic.Topic
		for _, partition := range topic.Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.Offset = partition.Partition, offset
			t.Partitions = append(t.Partitions, p)
		}
		answer.Topics = append(answer.Topics, t)
	}
	return answer
}

// TestFindDoesNotTrustTheHighWatermark: what the leader has and the replicas
// lack may yet come to stay, so the record is not "not there".
func TestFindDoesNotTrustTheHighWatermark(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	fill(t, k, 0, 2, 10)
	endsAt(cluster, 3) // one more than consumers see
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, found, err := k.Find(ctx, event.Place{Topic: topic}, 0, identity(7))
	require.ErrorContains(t, err, "the replicas lack what the leader has")
	require.False(t, found)
	requireFind(t, k, 0, 1, 1)
}

// TestTheEndsOfAllPartitionsAreOneRequest: kafka-go would open a connection for
// each partition.
func TestTheEndsOfAllPartitionsAreOneRequest(t *testing.T) {
	cluster := newBroker(t, kfake.SeedTopics(50, topic))
	asked := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Observe: true, Count: -1})
	k := newKafka(t, cluster, produceTimeout)
	for i := range 50 {
		_, end, err := k.Place(t.Context(), topic, fmt.Sprint(i))
		require.NoError(t, err)
		require.Zero(t, end)
	}
	require.LessOrEqual(t, asked.Hits(), 2)
}

func fetchAnswer(req kmsg.Request, records []byte, end int64) kmsg.Response {
	r := req.(*kmsg.FetchRequest)
	answer := r.ResponseKind().(*kmsg.FetchResponse)
	p := kmsg.NewFetchResponseTopicPartition()
	p.HighWatermark, p.LastStableOffset, p.LogStartOffset = end, end, 0
	p.RecordBatches = records
	tp := kmsg.NewFetchResponseTopic()
	tp.Topic, tp.TopicID = r.Topics[0].Topic, r.Topics[0].TopicID
	tp.Partitions = append(tp.Partitions, p)
	answer.Topics = append(answer.Topics, tp)
	return answer
}

// TestFindLeavesOutWhatPrecedes has a batch that begins ahead of the offset.
func TestFindLeavesOutWhatPrecedes(t *testing.T) {
	var records []dispatch.Record
	for i := range 3 {
		records = append(records, dispatch.Record{Value: []byte("v"), Headers: identity(i)})
	}
	batch := batchAt(0, records...)
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return fetchAnswer(req, batch, 3), nil, true
	})
	endsAt(cluster, 3)
	requireFind(t, k, 1, 0, -1)
	requireFind(t, k, 1, 1, 1)
	requireFind(t, k, 1, 2, 2)
}
