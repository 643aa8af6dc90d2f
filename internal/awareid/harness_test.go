package awareid_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/simulator"
)

const (
	clientSecret = "client-secret-5b1f"
	apiKey       = "api-key-77aa"
	target       = "https://gateway.example.com/webhooks/awareid"

	registrations = "/webhook/registration"
	tokenPath     = "/auth/"
)

// world is a client and the platform that it calls, over a real HTTP server.
type world struct {
	t        *testing.T
	client   *awareid.Client
	platform *simulator.Platform
	faults   *simulator.Faults
	metrics  *prometheus.Registry

	mu   sync.Mutex
	seen []call
}

// call is a request as the platform saw it.
type call struct {
	method, path, token, apiKey string
	at                          time.Time
}

// inWorld runs a test on a fake clock: the server and the client share a bubble of
// testing/synctest, with pipes between them, so that waits take no time and their
// length is exact.
func inWorld(t *testing.T, options func(*awareid.Options, *simulator.PlatformOptions), test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, options)
		listener := newPipes()
		server := &http.Server{Handler: w}
		go func() { _ = server.Serve(listener) }()
		w.client.DialWith(listener.dial)
		t.Cleanup(func() {
			w.client.Close()
			_ = server.Close()
			synctest.Wait()
		})
		test(t, w)
	})
}

func newWorld(t *testing.T, options func(*awareid.Options, *simulator.PlatformOptions)) *world {
	w := &world{t: t, metrics: prometheus.NewRegistry()}
	ours := awareid.Options{
		BaseURL: "http://127.0.0.1/api", Customer: "acme", ClientID: "gateway", ClientSecret: clientSecret, APIKey: apiKey,
		Metrics: w.metrics,
	}
	theirs := simulator.PlatformOptions{Customer: "acme", ClientID: "gateway", ClientSecret: clientSecret, APIKey: apiKey}
	if options != nil {
		options(&ours, &theirs)
	}
	var err error
	w.platform, err = simulator.NewPlatform(theirs)
	require.NoError(t, err)
	w.faults, err = simulator.NewFaults(w.platform, simulator.FaultOptions{})
	require.NoError(t, err)
	w.client, err = awareid.New(ours)
	require.NoError(t, err)
	return w
}

// ServeHTTP takes down the request and lets the platform answer, below a prefix.
func (w *world) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	r.URL.Path = strings.TrimPrefix(r.URL.Path, "/api")
	r.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, "/api")
	w.mu.Lock()
	w.seen = append(w.seen, call{
		method: r.Method, path: r.URL.Path, at: time.Now(),
		token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), apiKey: r.Header.Get("apikey"),
	})
	w.mu.Unlock()
	w.faults.ServeHTTP(out, r)
}

// calls are those under a path, in order.
func (w *world) calls(path string) []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	var some []call
	for _, c := range w.seen {
		if strings.HasPrefix(c.path, path) {
			some = append(some, c)
		}
	}
	return some
}

// hook registers a webhook without the client.
func (w *world) hook() simulator.Webhook {
	w.t.Helper()
	hook, err := w.platform.Register(simulator.Webhook{URL: target, EncryptMessageBody: true, AddSignatureHeader: true})
	require.NoError(w.t, err)
	return hook
}

// count reads a counter of exchanges.
func (w *world) count(operation, outcome string) int {
	w.t.Helper()
	return w.sum("gateway_awareid_requests_total", map[string]string{"operation": operation, "outcome": outcome})
}

func (w *world) sum(name string, labels map[string]string) int {
	w.t.Helper()
	families, err := w.metrics.Gather()
	require.NoError(w.t, err)
	sum := 0.0
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	metrics:
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if want, ok := labels[label.GetName()]; ok && want != label.GetValue() {
					continue metrics
				}
			}
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return int(sum)
}

// pipes is a listener whose connections are in memory, as synctest needs them.
type pipes struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{accept: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, &net.OpError{Op: "dial", Net: "pipe", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// registration is one that says everything.
func registration() awareid.Registration {
	return awareid.Registration{URL: target, AuthHeaderKey: "X-Auth", AuthHeaderValue: "auth-value-91c2"}
}
