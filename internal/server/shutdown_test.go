package server_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/server"
)

// held is a gateway with one request that waits for Kafka until release.
func held(t *testing.T, b *backend, changes ...func(*setUp)) (g *gateway, c *conn, id string, release func()) {
	g = b.serve(t, changes...)
	gate, arrived := make(chan struct{}), make(chan struct{})
	arrive := sync.OnceFunc(func() { close(arrived) }) // it is sent again while it is held
	b.kafka.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		arrive()
		b.kafka.SleepControl(func() { <-gate })
		return nil, nil, false
	})
	id, event := newEvent()
	c = g.dial(t).send(g.signed(t, event))
	<-arrived
	return g, c, id, func() { close(gate) }
}

func TestShutdownFinishesWhatIsInFlight(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g, busy, id, release := held(t, b)
		idle := g.dial(t)
		require.Equal(t, 404, idle.ping(t))

		stopped := make(chan error, 1)
		go func() { stopped <- within(10*time.Second, g.Shutdown) }()
		idle.ended(t)
		_, err := net.Dial("tcp", g.address)
		require.Error(t, err, "nobody new gets in")
		select {
		case err := <-stopped:
			require.Fail(t, "stopped with a request in flight", err)
		default:
		}

		release()
		a := busy.answer(t)
		requireStatus(t, a, 200, "accepted", id)
		busy.hungUp(t, a)
		require.NoError(t, busy.Close())
		require.NoError(t, <-stopped)
		require.NoError(t, <-g.served)
		require.Zero(t, g.metric("gateway_connections"), "each counted off once")
	})
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g, busy, id, release := held(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error, 1)
		go func() { stopped <- g.Shutdown(ctx) }()
		require.NoError(t, <-g.served)
		cancel()
		require.ErrorIs(t, <-stopped, context.Canceled)
		release()
		requireStatus(t, busy.answer(t), 200, "accepted", id)
	})
}

// TestServeAfterShutdown: a stop may overtake the start.
func TestServeAfterShutdown(t *testing.T) {
	g := newBackend(t).serve(t)
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
	require.NoError(t, within(10*time.Second, g.Shutdown))
	admin := server.NewAdmin(server.AdminOptions{Gatherer: g.registry, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, within(10*time.Second, admin.Shutdown))

	for name, serve := range map[string]func(net.Listener) error{"public": g.Serve, "admin": admin.Serve, "probes": admin.ServeProbes} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			served := make(chan error, 1)
			go func() { served <- serve(l) }()
			select {
			case err := <-served:
				require.NoError(t, err)
			case <-time.After(5 * time.Second):
				l.Close()
				require.Fail(t, "serves for ever")
			}
			_, err = net.Dial("tcp", l.Addr().String())
			require.Error(t, err, "the listener is closed")
		})
	}
}

// TestAPanicHarmsOneRequest, wherever it happens.
func TestAPanicHarmsOneRequest(t *testing.T) {
	var fuse atomic.Int64 // the clock panics when it gets to 0
	g := newBackend(t).serve(t, func(s *setUp) {
		s.Limits.RequestsPerWebhook = 100
		s.Now = func() time.Time {
			if fuse.Add(-1) == 0 {
				panic("canary")
			}
			return now
		}
	})
	for at := int64(1); ; at++ {
		require.Less(t, at, int64(20))
		fuse.Store(at)
		c := g.dial(t)
		a := c.send(g.valid(t)).answer(t)
		if fuse.Load() > 0 {
			require.Greater(t, at, int64(2), "it panicked with a body in hand")
			require.Equal(t, 200, a.status)
			break
		}
		require.Empty(t, requireProblem(t, a, 500))
		c.hungUp(t, a)
		require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
		g.eventually(t, "gateway_body_bytes", 0)
	}
	require.Contains(t, g.log.String(), "panic")
	g.requireSilence(t)
}

// TestAConnectionThatBreaksIsNoFaultOfOurs.
func TestAConnectionThatBreaksIsNoFaultOfOurs(t *testing.T) {
	g := newBackend(t).serve(t)
	for _, raw := range []string{"POST /webh", post(server.Path, http.Header{}, make([]byte, 5000))[:1000], post(server.Path, http.Header{}, make([]byte, 50_000))[:30_000]} {
		c := g.dial(t).send(raw)
		g.eventually(t, "gateway_connections", 1)
		require.NoError(t, c.Conn.(*net.TCPConn).SetLinger(0))
		c.Close() // with a reset
		g.eventually(t, "gateway_connections", 0)
	}
	require.Zero(t, g.metric(`gateway_http_answers_total{code="500"}`))
	require.Zero(t, g.metric(`gateway_refusals_total{cause="internal"}`))
	g.eventually(t, "gateway_body_bytes", 0)
}
