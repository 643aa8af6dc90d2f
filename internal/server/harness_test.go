package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
	"awareid-gateway/internal/store"
	"awareid-gateway/internal/verify"
)

// What must never show anywhere.
var (
	secret     = base64.StdEncoding.EncodeToString([]byte("canary-secret-of-32-bytes-000000"))
	nextSecret = base64.StdEncoding.EncodeToString([]byte("canary-secret-of-32-bytes-111111"))
)

const (
	webhookID = "0123456789abcdef0123456789abcdef"
	authKey   = "X-Api-Guard"
	authValue = "canary-auth-value"
	username  = "canary-username"
)

// now is the time of every server in these tests, unless a test says otherwise.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// backend is what gateways share: a Redis and a Kafka, each in this process.
type backend struct {
	redis *miniredis.Miniredis
	kafka *kfake.Cluster
	tls   bool // whose gateways have TLS
}

func newBackend(t testing.TB) *backend {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return &backend{redis: miniredis.RunT(t), kafka: cluster}
}

// overBoth runs a test over plain HTTP and over TLS.
func overBoth(t *testing.T, test func(t *testing.T, b *backend)) {
	for name, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t)
			b.tls = tls
			test(t, b)
		})
	}
}

// setUp is what a test may change about a gateway before it starts.
type setUp struct {
	server.Options
	hook           server.Webhook // the only one, where Webhooks is empty
	produceTimeout time.Duration
	listener       func(net.Listener) net.Listener
}

// gateway is a server with everything real behind it.
type gateway struct {
	*backend
	*server.Server
	address  string
	client   *tls.Config // nil: plain
	scheme   simulator.Scheme
	registry *prometheus.Registry
	log      *logBuffer
	store    *store.Redis
	served   chan error
}

func (b *backend) serve(t testing.TB, changes ...func(*setUp)) *gateway {
	registry, log := prometheus.NewRegistry(), &logBuffer{}
	s := defaults(t, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), registry)
	for _, change := range changes {
		change(&s)
	}
	if len(s.Webhooks) == 0 {
		s.Webhooks = []server.Webhook{s.hook}
	}
	claims, err := store.OpenRedis("redis://"+b.redis.Addr()+"?max_retries=1", "awareid")
	require.NoError(t, err)
	t.Cleanup(func() { claims.Close() })
	s.Dispatcher = b.dispatcher(t, s, claims)
	var client *tls.Config
	if b.tls {
		p := newPair(t, "gateway")
		s.TLS, client = p.serve(t, nil), p.client()
	}
	return b.start(t, s, &gateway{backend: b, client: client, scheme: scheme(), registry: registry, log: log, store: claims, served: make(chan error, 1)})
}

func scheme() simulator.Scheme {
	return simulator.Scheme{Secret: secret, AuthHeaderKey: authKey, AuthHeaderValue: authValue}
}

func defaults(t testing.TB, log *slog.Logger, registry *prometheus.Registry) setUp {
	opener, err := decrypt.New(decrypt.Options{Secrets: []string{secret, nextSecret}})
	require.NoError(t, err)
	return setUp{
		produceTimeout: 2 * time.Second,
		hook: server.Webhook{
			ID: webhookID, Opener: opener, AuthHeaderKey: authKey, AuthHeaderValue: authValue, SignatureHeader: "auto",
			Secrets: []verify.Secret{{Value: secret}, {Value: nextSecret, NotAfter: now}},
		},
		Options: server.Options{
			Log: log, Metrics: registry, Now: func() time.Time { return now },
			Limits: server.Limits{
				MaxBodyBytes: 64 << 10, BodyBudgetBytes: 1 << 20, MaxHeaderBytes: 16 << 10, MaxHeaders: 100, MaxRequests: 100, ReadTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second,
				RequestTimeout: 4 * time.Second, MaxConnections: 1000, MaxAge: 168 * time.Hour,
			},
		},
	}
}

func (b *backend) dispatcher(t testing.TB, s setUp, claims dispatch.Store) *dispatch.Dispatcher {
	routes := dispatch.NewRoutes("awareid", nil)
	producer := dispatch.NewKafka(dispatch.KafkaOptions{
		Brokers: b.kafka.ListenAddrs(), Topics: routes.Topics(), ProduceTimeout: s.produceTimeout, Log: s.Log,
	})
	t.Cleanup(producer.Close)
	require.NoError(t, producer.EnsureTopics(t.Context(), dispatch.TopicPlan{Create: true, Partitions: 1, Replication: 1}))
	require.NoError(t, producer.Start(t.Context()))
	sealer, err := dispatch.NewSealer(nil, map[string][][]byte{webhookID: {[]byte(secret)}})
	require.NoError(t, err)
	d := dispatch.New(claims, producer, dispatch.Options{
		Routes: routes, Sealer: sealer, ProduceTimeout: s.produceTimeout, Replica: "test", Log: s.Log, Metrics: s.Metrics,
		Terms: event.Terms{Lease: 3 * s.produceTimeout, TakeoverWait: s.produceTimeout, Keep: 169 * time.Hour},
	})
	t.Cleanup(func() { within(5*time.Second, d.Close) }) // where the store is down, in vain
	return d
}

func (b *backend) start(t testing.TB, s setUp, g *gateway) *gateway {
	var err error
	g.Server, err = server.New(s.Options)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g.address = listener.Addr().String()
	if s.listener != nil {
		listener = s.listener(listener)
	}
	go func() { g.served <- g.Serve(listener) }()
	t.Cleanup(func() {
		if err := within(10*time.Second, g.Shutdown); err != nil {
			t.Error("the server does not stop:", err)
		}
		assert.Eventually(t, func() bool { return g.AtGate() == 0 }, 5*time.Second, time.Millisecond, "strangers at work when all have left")
	})
	return g
}

func within(limit time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return call(ctx)
}

// stored is the number of records in all topics.
func (b *backend) stored(t testing.TB) (n int64) {
	client := b.client(t)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), dispatch.NewRoutes("awareid", nil).Topics()...)
	require.NoError(t, err)
	require.NoError(t, ends.Error())
	ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
	return n
}

// records reads all topics back, from the beginning.
func (b *backend) records(t *testing.T) []*kgo.Record {
	want := b.stored(t)
	client := b.client(t, kgo.ConsumeTopics(dispatch.NewRoutes("awareid", nil).Topics()...), kgo.FetchMaxWait(50*time.Millisecond))
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var records []*kgo.Record
	for int64(len(records)) < want {
		fetched := client.PollFetches(ctx)
		require.NoError(t, fetched.Err0())
		records = append(records, fetched.Records()...)
	}
	return records
}

func (b *backend) client(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(b.kafka.ListenAddrs()...))...)
	require.NoError(t, err)
	return client
}

// having returns the records of one topic with a header's value.
func having(records []*kgo.Record, topic, key, value string) (found []*kgo.Record) {
	for _, r := range records {
		if r.Topic == topic && headerOf(r, key) == value {
			found = append(found, r)
		}
	}
	return found
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// metrics renders what Prometheus would scrape.
func (g *gateway) metrics() string {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g.registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

// metric is the value of one series, 0 where it is not there yet.
func (g *gateway) metric(series string) float64 {
	for line := range strings.Lines(g.metrics()) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			n, _ := strconv.ParseFloat(value, 64)
			return n
		}
	}
	return 0
}

// eventually waits for what happens right behind an answer.
func (g *gateway) eventually(t *testing.T, series string, want float64) {
	t.Helper()
	require.Eventually(t, func() bool { return g.metric(series) == want }, 10*time.Second, 5*time.Millisecond, "%s", series)
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu    sync.Mutex
	lines bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lines.String()
}

// newEvent returns an id that no other event has, and the event.
func newEvent() (id string, body []byte) {
	id = uuid.NewString()
	return id, eventAt(id, now)
}

func eventAt(id string, created time.Time) []byte {
	return fmt.Appendf(nil, `{"id":%q,"created":%q,"type":"enrollment.completed","operationToken":"canary-token-%s","username":%q,"data":{"transactionNum":"7"}}`,
		id, created.Format("2006-01-02T15:04:05.000-0700"), id, username)
}
