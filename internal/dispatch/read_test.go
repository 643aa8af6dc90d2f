package dispatch_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
)

// newReader is a Kafka that is not started, for a topic of three partitions.
func newReader(t *testing.T) (*kfake.Cluster, *dispatch.Kafka) {
	t.Helper()
	cluster := newBroker(t, kfake.SeedTopics(3, quarantine))
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: []string{quarantine},
		ProduceTimeout: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	return cluster, k
}

// write puts records into partitions, at times of their own.
func write(t *testing.T, cluster *kfake.Cluster, records ...*kgo.Record) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for _, r := range records {
		require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
	}
}

func at(partition, second int) *kgo.Record {
	return &kgo.Record{
		Topic: quarantine, Partition: int32(partition), Value: fmt.Append(nil, second),
		Timestamp: time.Unix(1_700_000_000+int64(second), 0),
		Headers:   []kgo.RecordHeader{{Key: "second", Value: fmt.Append(nil, second)}},
	}
}

func readAll(t *testing.T, k *dispatch.Kafka) []dispatch.Sealed {
	t.Helper()
	var all []dispatch.Sealed
	require.NoError(t, k.ReadQuarantine(t.Context(), quarantine, func(s dispatch.Sealed) error {
		all = append(all, s)
		return nil
	}))
	return all
}

func values(all []dispatch.Sealed) []string {
	var list []string
	for _, s := range all {
		list = append(list, string(s.Value))
	}
	return list
}

func TestReadQuarantineGoesByTime(t *testing.T) {
	cluster, k := newReader(t)
	require.Empty(t, readAll(t, k))
	write(t, cluster, at(0, 1), at(2, 2), at(2, 3), at(0, 4), at(2, 5), at(0, 6))
	all := readAll(t, k)
	require.Equal(t, []string{"1", "2", "3", "4", "5", "6"}, values(all))
	require.Equal(t, 2, all[4].Partition)
	require.EqualValues(t, 2, all[4].Offset)
	require.Equal(t, quarantine, all[4].Topic)
	require.True(t, all[4].Time.Equal(time.Unix(1_700_000_005, 0)))
	require.Equal(t, "second", all[4].Headers[0].Key)
	require.Equal(t, "5", string(all[4].Headers[0].Value))
}

// TestReadQuarantineEnds where it ended when it was asked, however fast it grows.
func TestReadQuarantineEnds(t *testing.T) {
	cluster, k := newReader(t)
	write(t, cluster, at(0, 1), at(1, 2))
	n := 0
	require.NoError(t, k.ReadQuarantine(t.Context(), quarantine, func(dispatch.Sealed) error {
		n++
		write(t, cluster, at(0, 3), at(1, 4), at(2, 5))
		return nil
	}))
	require.Equal(t, 2, n)
}

func TestReadQuarantineStopsWithAnError(t *testing.T) {
	cluster, k := newReader(t)
	write(t, cluster, at(0, 1), at(0, 2))
	n := 0
	err := k.ReadQuarantine(t.Context(), quarantine, func(dispatch.Sealed) error { n++; return errAway })
	require.Equal(t, errAway, err)
	require.Equal(t, 1, n)
}

func TestReadQuarantineInSeveralFetches(t *testing.T) {
	cluster, k := newReader(t)
	var want []string
	for i := range 12 {
		r := at(1, i)
		r.Value = bytes.Repeat([]byte{byte('a' + i)}, 900<<10)
		want = append(want, string(r.Value[:1]))
		write(t, cluster, r)
	}
	var got []string
	for _, s := range readAll(t, k) {
		require.Len(t, s.Value, 900<<10)
		got = append(got, string(s.Value[:1]))
	}
	require.Equal(t, want, got)
}

func TestReadQuarantineWhereRetentionHasPassed(t *testing.T) {
	cluster, k := newReader(t)
	write(t, cluster, at(0, 1), at(0, 2), at(0, 3), at(1, 4))
	require.NoError(t, cluster.DeleteRecords(quarantine, 0, 2))
	require.NoError(t, cluster.DeleteRecords(quarantine, 1, 1))
	require.Equal(t, []string{"3"}, values(readAll(t, k)))
}

// TestReadQuarantinePassesMarks: anybody who writes to the topic can do so in
// transactions, which leave marks that are no records, at the end too.
func TestReadQuarantinePassesMarks(t *testing.T) {
	cluster, k := newReader(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.TransactionalID("somebody"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for i := range 3 {
		require.NoError(t, client.BeginTransaction())
		require.NoError(t, client.ProduceSync(t.Context(), at(0, i)).FirstErr())
		require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	}
	require.Equal(t, []string{"0", "1", "2"}, values(readAll(t, k)))
	require.NoError(t, cluster.DeleteRecords(quarantine, 0, 5)) // the last mark is all there is
	require.Empty(t, readAll(t, k))
}

func TestReadQuarantineWhereKafkaFails(t *testing.T) {
	t.Run("no topic", func(t *testing.T) {
		k := dispatch.NewKafka(dispatch.KafkaOptions{
			Brokers: newBroker(t).ListenAddrs(), Topics: []string{quarantine},
			ProduceTimeout: time.Second, Log: slog.New(slog.DiscardHandler),
		})
		defer k.Close()
		require.ErrorContains(t, k.ReadQuarantine(t.Context(), quarantine, nil), quarantine)
	})
	t.Run("for a moment", func(t *testing.T) {
		cluster, k := newReader(t)
		write(t, cluster, at(0, 1))
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: quarantine, Err: kerr.NotLeaderForPartition, Count: 3})
		require.Equal(t, []string{"1"}, values(readAll(t, k)))
	})
	t.Run("for good", func(t *testing.T) {
		cluster, k := newReader(t)
		write(t, cluster, at(0, 1))
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: quarantine, Err: kerr.NotLeaderForPartition, Count: -1})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		require.Error(t, k.ReadQuarantine(ctx, quarantine, nil))
	})
}
