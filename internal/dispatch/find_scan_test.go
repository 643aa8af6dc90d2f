package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
)

// secondsIn is when the records of the scan tests were made.
func secondsIn(s float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(s * float64(time.Second)))
}

// writeAt writes an event for each number, made that many seconds in.
func writeAt(t *testing.T, cluster *kfake.Cluster, seconds ...float64) {
	t.Helper()
	for _, s := range seconds {
		write(t, cluster, &kgo.Record{Topic: topic, Value: []byte("v"), Timestamp: secondsIn(s), Headers: headersOf(int(s))})
	}
}

func headersOf(id int) []kgo.RecordHeader {
	var headers []kgo.RecordHeader
	for _, h := range identity(id) {
		headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	return headers
}

// scan returns the offsets.
func scan(t *testing.T, k *dispatch.Kafka, since, until time.Time) []int64 {
	t.Helper()
	var offsets []int64
	require.NoError(t, k.Scan(t.Context(), place, since, until, func(r dispatch.RecordHead) error {
		offsets = append(offsets, r.Offset)
		return nil
	}))
	return offsets
}

func TestScanTellsAPeriod(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	writeAt(t, cluster, 0, 1, 2, 3, 5, 4, 6) // 4 came late
	never := time.Time{}
	for name, tc := range map[string]struct {
		since, until time.Time
		want         []int64
	}{
		"all":                      {never, never, []int64{0, 1, 2, 3, 4, 5, 6}},
		"before there was Unix":    {time.Date(1955, 1, 1, 0, 0, 0, 0, time.UTC), never, []int64{0, 1, 2, 3, 4, 5, 6}},
		"from a time on":           {secondsIn(2), never, []int64{2, 3, 4, 5, 6}},
		"from between two":         {secondsIn(1.5), never, []int64{2, 3, 4, 5, 6}},
		"up to a time":             {never, secondsIn(2), []int64{0, 1}},
		"up to between two":        {never, secondsIn(2.5), []int64{0, 1, 2}},
		"one":                      {secondsIn(1), secondsIn(2), []int64{1}},
		"none between":             {secondsIn(1.2), secondsIn(1.8), nil},
		"up to the first as young": {never, secondsIn(4), []int64{0, 1, 2, 3}},
		"on from there":            {secondsIn(4), never, []int64{4, 5, 6}},
		"all are older":            {secondsIn(7), never, nil},
		"all are younger":          {never, secondsIn(-1), nil},
		"the end is the younger":   {never, secondsIn(100), []int64{0, 1, 2, 3, 4, 5, 6}},
		"backwards":                {secondsIn(5), secondsIn(1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, tc.want, scan(t, k, tc.since, tc.until))
		})
	}
}

// TestScansOfPeriodsThatTouch tell every record once, in whatever order they lie.
func TestScansOfPeriodsThatTouch(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	writeAt(t, cluster, 3, 1, 4, 1, 5, 9, 2, 6, 5, 3)
	var offsets []int64
	for s := range 12 {
		offsets = append(offsets, scan(t, k, secondsIn(float64(s)-0.5), secondsIn(float64(s)+0.5))...)
	}
	require.Equal(t, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, offsets)
}

func TestScanTellsHeadersAndTime(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	writeAt(t, cluster, 7)
	n := 0
	require.NoError(t, k.Scan(t.Context(), place, time.Time{}, time.Time{}, func(r dispatch.RecordHead) error {
		n++
		require.Equal(t, identity(7), r.Headers)
		require.True(t, r.Time.Equal(secondsIn(7)))
		return nil
	}))
	require.Equal(t, 1, n)
}

// TestScanEnds where the log ended when it was called, however fast it grows.
func TestScanEnds(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	writeAt(t, cluster, 0, 1)
	n := 0
	require.NoError(t, k.Scan(t.Context(), place, time.Time{}, time.Time{}, func(dispatch.RecordHead) error {
		n++
		writeAt(t, cluster, 2, 3)
		return nil
	}))
	require.Equal(t, 2, n)
}

func TestScanInSeveralFetches(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	reads := watchReads(cluster)
	const n = 12
	fill(t, k, 0, n, 900<<10)
	require.Len(t, scan(t, k, time.Time{}, time.Time{}), n)
	require.GreaterOrEqual(t, reads.count(), 3)
}

func TestScanWhereRetentionHasPassed(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	writeAt(t, cluster, 0, 1, 2, 3)
	require.NoError(t, cluster.DeleteRecords(topic, 0, 2))
	require.Equal(t, []int64{2, 3}, scan(t, k, time.Time{}, time.Time{}))
	require.NoError(t, cluster.DeleteRecords(topic, 0, 4))
	require.Empty(t, scan(t, k, time.Time{}, time.Time{}))
}

// TestScanWhereRetentionPasses in the middle of it.
func TestScanWhereRetentionPasses(t *testing.T) {
	l, k := newLog(t, 0, 1, 2, 3, 4)
	l.change(func() {
		l.during = func(offset int64) {
			if offset == 2 {
				l.change(func() { l.began = 4 })
			}
		}
	})
	var offsets []int64
	require.NoError(t, k.Scan(t.Context(), place, time.Time{}, time.Time{}, func(r dispatch.RecordHead) error {
		offsets = append(offsets, r.Offset)
		return nil
	}))
	require.Equal(t, []int64{0, 1, 4}, offsets)
}

// TestATimeThatKafkaDoesNotFind although there are records as young, as long as
// it has not deleted a segment of before the log's beginning that held some too.
func TestATimeThatKafkaDoesNotFind(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	l, k := newLog(t, 0, 1, 2, 3)
	l.change(func() { l.began, l.forgetful = 2, true })
	require.Equal(t, []int64{2, 3}, scan(t, k, began, time.Time{}))
	require.Empty(t, scan(t, k, time.Now().Add(time.Hour), time.Time{}))
	for id, want := range []bool{false, false, true, true, false} {
		_, found, err := k.FindSince(t.Context(), place, began, identity(id))
		require.NoError(t, err)
		require.Equal(t, want, found)
	}
	l.change(func() { l.began = 4 })
	require.Empty(t, scan(t, k, began, time.Time{}))
	l.change(func() { l.ids, l.began, l.highWatermark, l.end = nil, 0, 0, 0 })
	require.Empty(t, scan(t, k, began, time.Time{}))
}

// TestScanPassesMarks of transactions, which are no records, at the end too.
func TestScanPassesMarks(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...),
		kgo.TransactionalID("somebody"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	for i := range 3 {
		require.NoError(t, client.BeginTransaction())
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Headers: headersOf(i)}).FirstErr())
		require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	}
	require.Equal(t, []int64{0, 2, 4}, scan(t, k, time.Time{}, time.Time{}))
	requireFind(t, k, 0, 2, 4)
	requireFind(t, k, 0, 3, -1)
	require.NoError(t, cluster.DeleteRecords(topic, 0, 5)) // the last mark is all there is
	require.Empty(t, scan(t, k, time.Time{}, time.Time{}))
	requireFind(t, k, 0, 2, -1)
}

func TestScanWaitsForTheReplicas(t *testing.T) {
	l, k := newLog(t, 0, 1, 2)
	l.change(func() { l.highWatermark = 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	n := 0
	count := func(dispatch.RecordHead) error { n++; return nil }
	require.ErrorContains(t, k.Scan(ctx, place, time.Time{}, time.Time{}, count), "the replicas lack what the leader has")
	require.Equal(t, 2, n)

	l.change(func() {
		l.during = func(offset int64) {
			if offset == 2 {
				l.change(func() { l.highWatermark = 3 })
			}
		}
	})
	n = 0
	require.NoError(t, k.Scan(t.Context(), place, time.Time{}, time.Time{}, count))
	require.Equal(t, 3, n)
}

// TestScanWhereTheLogWasCut does not begin anew.
func TestScanWhereTheLogWasCut(t *testing.T) {
	l, k := newLog(t, 0, 1, 2, 3)
	l.change(func() {
		l.during = func(offset int64) {
			if offset == 2 {
				l.change(func() { l.ids, l.highWatermark, l.end = l.ids[:1], 1, 1 })
			}
		}
	})
	n := 0
	err := k.Scan(t.Context(), place, time.Time{}, time.Time{}, func(dispatch.RecordHead) error { n++; return nil })
	require.ErrorContains(t, err, "cut below offset 2")
	require.Equal(t, 2, n)
}

func TestScanStops(t *testing.T) {
	cluster := newBroker(t)
	k := newKafka(t, cluster, produceTimeout)
	writeAt(t, cluster, 0, 1)
	t.Run("with an error", func(t *testing.T) {
		n := 0
		err := k.Scan(t.Context(), place, time.Time{}, time.Time{}, func(dispatch.RecordHead) error { n++; return errAway })
		require.Equal(t, errAway, err)
		require.Equal(t, 1, n)
	})
	t.Run("with the context", func(t *testing.T) {
		for _, key := range []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets} {
			faults := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: -1})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			err := k.Scan(ctx, place, time.Time{}, time.Time{}, func(dispatch.RecordHead) error { return errors.New("no record") })
			cancel()
			faults.Remove()
			require.ErrorContains(t, err, topic)
			require.Positive(t, faults.Hits())
		}
	})
	t.Run("not where Kafka fails for a moment", func(t *testing.T) {
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch, kmsg.ListOffsets}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: 3})
		require.Equal(t, []int64{0, 1}, scan(t, k, time.Time{}, time.Time{}))
	})
}
