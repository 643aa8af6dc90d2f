package server_test

import (
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

func (g *gateway) rests(t testing.TB, connections int) {
	t.Helper()
	require.Eventually(t, func() bool { return g.Resting() == connections }, 10*time.Second, 5*time.Millisecond)
}

// TestARestIsNotSeen: a connection that has rested is like any other.
func TestARestIsNotSeen(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		c := g.dial(t)
		for range 3 {
			require.Equal(t, 200, c.send(g.valid(t)).answer(t).status)
			g.rests(t, 1)
			require.EqualValues(t, 1, g.metric("gateway_connections"))
		}
		c.send(g.valid(t) + g.valid(t))
		require.Equal(t, 200, c.answer(t).status)
		require.Equal(t, 200, c.answer(t).status)
		g.rests(t, 1)
		c.send(strings.Split(head("GET", server.Path, nil), "")...)
		require.Equal(t, 405, c.answer(t).status)
		g.rests(t, 1)
		require.NoError(t, c.Close())
		g.eventually(t, "gateway_connections", 0)
	})
}

// TestARestEnds with the time that a connection may wait for a request, and with
// the time for one that has begun.
func TestARestEnds(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t, func(s *setUp) {
			s.Limits.IdleTimeout, s.Limits.ReadTimeout = 400*time.Millisecond, 200*time.Millisecond
		})
		idle, slow := g.dial(t), g.dial(t)
		require.Equal(t, 404, idle.ping(t))
		require.Equal(t, 404, slow.ping(t))
		g.rests(t, 2)
		requireProblem(t, slow.send("P").answer(t), 408)
		idle.ended(t)
	})
}

// TestShutdownOfWhoRests: who rests when the gateway stops has its request
// answered, and is not waited for where it sends none.
func TestShutdownOfWhoRests(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		asks, silent := g.dial(t), g.dial(t)
		require.Equal(t, 404, asks.ping(t))
		require.Equal(t, 404, silent.ping(t))
		g.rests(t, 2)
		stopped := g.stopping(t)
		a := asks.send(g.valid(t)).answer(t)
		require.Equal(t, 200, a.status)
		asks.hungUp(t, a)
		silent.ended(t)
		require.NoError(t, <-stopped)
	})
}

// TestWhatARestTakes: little, however large the buffers are.
func TestWhatARestTakes(t *testing.T) {
	const connections, most = 500, 8 << 10
	s := defaults(t, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	s.Webhooks, s.Limits.MaxHeaderBytes = []server.Webhook{s.hook}, 64<<10
	public, err := server.New(s.Options)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go public.Serve(l)
	g := &gateway{Server: public, address: l.Addr().String()}
	defer within(5*time.Second, g.Shutdown)
	peers := make([]*conn, connections)
	for i := range peers {
		peers[i] = g.dial(t)
	}
	before := inUse()
	for _, c := range peers {
		require.Equal(t, 404, c.ping(t))
	}
	g.rests(t, connections)
	each := (inUse() - before) / connections
	t.Logf("%d bytes for each", each)
	require.Less(t, each, int64(most))
}

// inUse is what lives, goroutines' stacks included.
func inUse() int64 {
	var m runtime.MemStats
	for range 3 { // what is in a sync.Pool outlives a collection, and stacks shrink by half
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
