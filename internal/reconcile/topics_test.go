package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/reconcile"
)

const topic = "awareid.enrollment"

// kafka is a broker in this process with one topic of two partitions.
type kafka struct {
	*kfake.Cluster
	t *testing.T
}

func newKafka(t *testing.T) *kafka {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(2, topic))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return &kafka{cluster, t}
}

func (k *kafka) topics(names ...string) *reconcile.Topics {
	t := reconcile.NewTopics(reconcile.TopicsOptions{
		Brokers: k.ListenAddrs(), Topics: append([]string{topic}, names...), Timeout: 5 * time.Second,
	})
	k.t.Cleanup(t.Close)
	return t
}

// at is some seconds after a time.
func at(seconds int) time.Time { return time.Unix(1_700_000_000+int64(seconds), 0) }

// write puts records into a partition, made at those seconds, that say so.
func (k *kafka) write(partition int32, seconds ...int) {
	k.t.Helper()
	var records []*kgo.Record
	for _, s := range seconds {
		records = append(records, &kgo.Record{
			Topic: topic, Partition: partition, Timestamp: at(s), Value: fmt.Append(nil, s),
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: fmt.Append(nil, s)}},
		})
	}
	k.produce(nil, records...)
}

func (k *kafka) produce(opts []kgo.Opt, records ...*kgo.Record) {
	k.t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	require.NoError(k.t, err)
	defer client.Close()
	require.NoError(k.t, client.ProduceSync(k.t.Context(), records...).FirstErr())
}

// read reads from a time on, and returns the values.
func read(t *testing.T, topics *reconcile.Topics, since time.Time) []string {
	t.Helper()
	c, err := topics.Start(t.Context(), since)
	require.NoError(t, err)
	return readOn(t, topics, c)
}

func readOn(t *testing.T, topics *reconcile.Topics, c reconcile.Cursor) []string {
	t.Helper()
	values := []string{}
	require.NoError(t, topics.Read(t.Context(), c, func(r reconcile.Record) error {
		values = append(values, string(r.Value))
		return nil
	}))
	return values
}

func TestTopicsAreReadFromATimeOn(t *testing.T) {
	k := newKafka(t)
	k.write(0, 1, 3, 2, 5)
	k.write(1, 4, 9)
	topics := k.topics()
	for name, tc := range map[string]struct {
		since time.Time
		want  []string
	}{
		"the beginning":    {time.Time{}, []string{"1", "3", "2", "5", "4", "9"}},
		"in the middle":    {at(3), []string{"3", "2", "5", "4", "9"}},
		"older everywhere": {at(-5), []string{"1", "3", "2", "5", "4", "9"}},
		"one is older":     {at(6), []string{"9"}},
		"all are older":    {at(10), []string{}},
		"before Unix":      {time.Date(1955, 1, 1, 0, 0, 0, 0, time.UTC), []string{"1", "3", "2", "5", "4", "9"}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tc.want, read(t, topics, tc.since)) })
	}
}

func TestTopicsAreReadOn(t *testing.T) {
	k := newKafka(t)
	topics := k.topics()
	c, err := topics.Start(t.Context(), at(0))
	require.NoError(t, err)
	require.Empty(t, readOn(t, topics, c))
	k.write(0, 1)
	require.Equal(t, []string{"1"}, readOn(t, topics, c))
	k.write(1, 2)
	k.write(0, 3)
	require.Equal(t, []string{"3", "2"}, readOn(t, topics, c))
	require.Empty(t, readOn(t, topics, c))
}

func TestReadAt(t *testing.T) {
	k := newKafka(t)
	k.write(1, 1, 2, 3)
	topics := k.topics()
	place := event.Place{Topic: topic, Partition: 1}
	r, err := topics.ReadAt(t.Context(), reconcile.Position{Place: place, Offset: 1})
	require.NoError(t, err)
	require.Equal(t, reconcile.Record{
		At: reconcile.Position{Place: place, Offset: 1}, Time: r.Time, Value: []byte("2"),
		Headers: []event.Header{{Key: "ce_id", Value: []byte("2")}},
	}, r)
	require.True(t, r.Time.Equal(at(2)))
	require.Equal(t, topic+"/1@1", r.At.String())

	require.NoError(t, k.DeleteRecords(topic, 1, 2))
	_, err = topics.ReadAt(t.Context(), reconcile.Position{Place: place, Offset: 1})
	require.ErrorIs(t, err, reconcile.ErrGone)
}

// TestAnythingInATopic is passed: marks of transactions, aborted records, nothing at
// all, compressed batches, and records that take several fetches.
func TestAnythingInATopic(t *testing.T) {
	k := newKafka(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(k.ListenAddrs()...), kgo.TransactionalID("x"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		require.NoError(t, client.BeginTransaction())
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: fmt.Append(nil, "t", i)}).FirstErr())
		require.NoError(t, client.EndTransaction(t.Context(), end))
	}
	k.produce(nil, &kgo.Record{Topic: topic}, &kgo.Record{Topic: topic, Key: []byte("k"), Headers: []kgo.RecordHeader{{}, {Key: "\xff"}}})
	for _, codec := range []kgo.CompressionCodec{kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		k.produce([]kgo.Opt{kgo.ProducerBatchCompression(codec)}, &kgo.Record{Topic: topic, Value: []byte(strings.Repeat("c", 1000))})
	}
	const large = 12
	for range large {
		k.produce([]kgo.Opt{kgo.ProducerBatchCompression(kgo.NoCompression())}, &kgo.Record{Topic: topic, Value: make([]byte, 900<<10)})
	}
	values := read(t, k.topics(), time.Time{})
	require.Len(t, values, 3+2+4+large)
	require.Equal(t, []string{"t0", "t1", "t2", "", ""}, values[:5])

	// At its end stands nothing but a mark.
	c, err := k.topics().Start(t.Context(), time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, int64(3*2+2+4+large), c[event.Place{Topic: topic}])
}

func TestRetentionPasses(t *testing.T) {
	k := newKafka(t)
	k.write(0, 1, 2, 3, 4)
	topics := k.topics()
	c, err := topics.Start(t.Context(), time.Time{})
	require.NoError(t, err)
	require.NoError(t, k.DeleteRecords(topic, 0, 2))
	require.Equal(t, []string{"3", "4"}, readOn(t, topics, c))
	require.NoError(t, k.DeleteRecords(topic, 0, 4))
	require.Empty(t, read(t, topics, time.Time{}))
	require.Empty(t, read(t, topics, at(0)))
}

// TestABrokerThatFailsForAMoment is asked again, one that goes on failing is told.
func TestABrokerThatFails(t *testing.T) {
	k := newKafka(t)
	k.write(0, 1, 2)
	topics := k.topics()
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: 3})
	require.Equal(t, []string{"1", "2"}, read(t, topics, at(0)))

	c, err := topics.Start(t.Context(), at(0))
	require.NoError(t, err)
	k.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: -1})
	overdue := errors.New("overdue")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, overdue)
	defer cancel()
	err = topics.Read(ctx, c, func(reconcile.Record) error { return errors.New("no record") })
	require.ErrorIs(t, err, overdue)
	require.ErrorContains(t, err, "read "+topic+"/0")
}

func TestATopicThatIsMissing(t *testing.T) {
	_, err := newKafka(t).topics("absent").Start(t.Context(), time.Time{})
	require.ErrorContains(t, err, "topic absent")
}

func TestReadingEndsWithTheCaller(t *testing.T) {
	k := newKafka(t)
	k.write(0, 1, 2)
	topics := k.topics()
	c, err := topics.Start(t.Context(), time.Time{})
	require.NoError(t, err)
	n := 0
	require.Equal(t, errAway, topics.Read(t.Context(), c, func(reconcile.Record) error { n++; return errAway }))
	require.Equal(t, 1, n)
}

// TestATimeThatKafkaDoesNotFind although there are records as young, as long as it
// has not deleted a segment of before the log's beginning that held some too.
func TestATimeThatKafkaDoesNotFind(t *testing.T) {
	k := newKafka(t)
	k.write(0, 1, 2)
	k.ControlKey(int16(kmsg.ListOffsets), func(request kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		asked := request.(*kmsg.ListOffsetsRequest).Topics[0]
		if asked.Partitions[0].Timestamp < 0 {
			return nil, nil, false
		}
		answer := request.ResponseKind().(*kmsg.ListOffsetsResponse)
		partition := kmsg.NewListOffsetsResponseTopicPartition()
		partition.Partition, partition.Offset, partition.Timestamp = asked.Partitions[0].Partition, -1, -1
		answer.Topics = []kmsg.ListOffsetsResponseTopic{{Topic: asked.Topic, Partitions: []kmsg.ListOffsetsResponseTopicPartition{partition}}}
		return answer, nil, true
	})
	topics := k.topics()
	require.Equal(t, []string{"1", "2"}, read(t, topics, at(2)))
	require.Empty(t, read(t, topics, at(3)))
}
