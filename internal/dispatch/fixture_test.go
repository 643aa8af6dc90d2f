package dispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

// TestMain wants that after all tests nothing of what they closed still runs.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	webhook        = "0123456789abcdef0123456789abcdef"
	otherWebhook   = "fedcba9876543210fedcba9876543210"
	produceTimeout = 10 * time.Second
	lease          = 30 * time.Second
	keep           = 168 * time.Hour
)

var terms = event.Terms{Lease: lease, TakeoverWait: produceTimeout, Keep: keep}

// received is when every event of the tests was received, to the microsecond.
var received = time.Date(2026, 3, 1, 13, 0, 0, 123456000, time.FixedZone("", 3600))

var secrets = map[string][]byte{
	webhook:      []byte("the secret of one webhook, 32 by"),
	otherWebhook: []byte("the secret of another, 32 bytes."),
}

func newSealer(t testing.TB, key []byte) *dispatch.Sealer {
	all := map[string][][]byte{}
	for id, secret := range secrets {
		all[id] = [][]byte{secret}
	}
	s, err := dispatch.NewSealer(keysOf(key), all)
	require.NoError(t, err)
	return s
}

// keysOf is the one key, or none for nil.
func keysOf(key []byte) [][]byte {
	if key == nil {
		return nil
	}
	return [][]byte{key}
}

// dispatcher is a Dispatcher with its metrics.
type dispatcher struct {
	*dispatch.Dispatcher
	metrics *prometheus.Registry
}

// newDispatcher is for tests that say themselves when it is to close.
func newDispatcher(t testing.TB, s dispatch.Store, p dispatch.Producer, change ...func(*dispatch.Options)) dispatcher {
	reg := prometheus.NewRegistry()
	opts := dispatch.Options{
		Routes: dispatch.NewRoutes("awareid", nil), Sealer: newSealer(t, nil),
		Terms: terms, ProduceTimeout: produceTimeout, Replica: "gateway-1",
		Log: slog.New(slog.DiscardHandler), Metrics: reg,
	}
	for _, f := range change {
		f(&opts)
	}
	return dispatcher{dispatch.New(s, p, opts), reg}
}

// count reads a counter.
func (d dispatcher) count(t *testing.T, name string) int {
	families, err := d.metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return int(f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	require.Fail(t, "no metric "+name)
	return 0
}

// close waits until the store knows everything.
func (d dispatcher) close(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	require.NoError(t, d.Close(ctx))
}

// inbound is a callback with an event; the id is in the payload too.
func inbound(id string) dispatch.Inbound {
	e, err := event.Parse(fmt.Appendf(nil,
		`{"id": %q,  "created":"2022-02-16T14:33:11.889-0500","type":"enrollment.completed","operationToken":"operation-1"}`, id))
	if err != nil {
		panic(err)
	}
	return dispatch.Inbound{Event: e, WebhookID: webhook, Origin: dispatch.Callback, ReceivedAt: received}
}

// counted makes an event's memory count how often it is released.
func counted(in dispatch.Inbound) (dispatch.Inbound, *atomic.Int32) {
	n := new(atomic.Int32)
	in.Release = func() { n.Add(1) }
	return in, n
}

// clock is a time that only moves when told to.
type clock struct {
	mu  sync.Mutex
	at  time.Time
	set func(time.Time) // tells a server of the time, where there is one
}

func newClock() *clock {
	return &clock{at: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), set: func(time.Time) {}}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
	c.set(c.at)
}

// stores are the real ones, by the clock of the test.
var stores = map[string]func(*testing.T, *clock) dispatch.Store{
	"file": func(t *testing.T, c *clock) dispatch.Store {
		s, err := store.OpenFile(filepath.Join(t.TempDir(), "claims"), c.now)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	},
	"redis": func(t *testing.T, c *clock) dispatch.Store {
		server := miniredis.RunT(t)
		server.SetTime(c.now())
		c.set = server.SetTime
		s, err := store.OpenRedis("redis://"+server.Addr(), "awareid")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, s.Close()) })
		return s
	},
}

// newProducer is a real producer for all topics of the routes.
func newProducer(t *testing.T, cluster *kfake.Cluster, partitions int) *dispatch.Kafka {
	k := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: cluster.ListenAddrs(), Topics: dispatch.NewRoutes("awareid", nil).Topics(),
		ProduceTimeout: produceTimeout, Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(k.Close)
	plan := dispatch.TopicPlan{Create: true, Partitions: partitions, Replication: 1}
	require.NoError(t, k.EnsureTopics(t.Context(), plan))
	require.NoError(t, k.Start(t.Context()))
	return k
}

// stored counts the records of a topic.
func stored(cluster *kfake.Cluster, topic string) int {
	n := int64(0)
	for _, p := range cluster.PartitionInfos(topic) {
		n += p.HighWatermark
	}
	return int(n)
}
