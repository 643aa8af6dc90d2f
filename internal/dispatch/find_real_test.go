package dispatch_test

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// TestReadingBackFromARealKafka: kfake is as exact about what it is asked, and
// about the marks of transactions, as was known when it was written.
func TestReadingBackFromARealKafka(t *testing.T) {
	brokers := os.Getenv("TEST_KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("needs TEST_KAFKA_BROKERS")
	}
	at := event.Place{Topic: "test-" + rand.Text()[:7]}
	seeds := strings.Split(brokers, ",")
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.TransactionalID(at.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	forever := "-1" // the records are of times past
	_, err = admin.CreateTopic(t.Context(), 1, int16(len(seeds)), map[string]*string{"retention.ms": &forever}, at.Topic)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = admin.DeleteTopic(t.Context(), at.Topic) })

	const events, batch = 600, 200
	value := make([]byte, 30<<10)
	rand.Read(value) // nothing to compress
	for first := 0; first < events; first += batch {
		require.NoError(t, client.BeginTransaction())
		for id := first; id < first+batch; id++ {
			client.Produce(t.Context(), &kgo.Record{
				Topic: at.Topic, Value: value, Headers: headersOf(id), Timestamp: secondsIn(float64(id)),
			}, nil)
		}
		require.NoError(t, client.Flush(t.Context()))
		require.NoError(t, client.EndTransaction(t.Context(), kgo.TryCommit))
	}
	offsetOf := func(id int) int64 { return int64(id + id/batch) } // a mark behind each batch

	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: seeds, Topics: []string{at.Topic},
		ProduceTimeout: produceTimeout, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	want := func(offset int64, found bool, err error) func(int64) {
		return func(wanted int64) {
			t.Helper()
			require.NoError(t, err)
			require.Equal(t, wanted >= 0, found)
			if found {
				require.Equal(t, wanted, offset)
			}
		}
	}
	want(k.Find(t.Context(), at, 0, identity(events-1)))(offsetOf(events - 1))
	want(k.Find(t.Context(), at, offsetOf(400), identity(400)))(offsetOf(400))
	want(k.Find(t.Context(), at, offsetOf(400), identity(399)))(-1)
	want(k.Find(t.Context(), at, 0, identity(events)))(-1)
	want(k.Find(t.Context(), at, 1e6, identity(0)))(0)
	want(k.FindSince(t.Context(), at, secondsIn(events-100), identity(events-1)))(offsetOf(events - 1))

	told := func(since, until time.Time) (ids []string) {
		require.NoError(t, k.Scan(t.Context(), at, since, until, func(r dispatch.RecordHead) error {
			ids = append(ids, fmt.Sprint(r.Offset, string(r.Headers[0].Value)))
			return nil
		}))
		return ids
	}
	require.Len(t, told(time.Time{}, time.Time{}), events)
	require.Equal(t, []string{fmt.Sprint(offsetOf(250), "evt-250"), fmt.Sprint(offsetOf(251), "evt-251")}, told(secondsIn(250), secondsIn(252)))
	require.Empty(t, told(secondsIn(events), time.Time{}))

	var deleted kadm.Offsets
	deleted.AddOffset(at.Topic, 0, offsetOf(300), -1)
	_, err = admin.DeleteRecords(t.Context(), deleted)
	require.NoError(t, err)
	require.Len(t, told(time.Time{}, time.Time{}), events-300)
	want(k.FindSince(t.Context(), at, secondsIn(0), identity(300)))(offsetOf(300))
	want(k.Find(t.Context(), at, 0, identity(299)))(-1)
	want(k.Find(t.Context(), at, 0, identity(300)))(offsetOf(300))
}
