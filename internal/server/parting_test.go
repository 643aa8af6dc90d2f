package server_test

import (
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// stopping begins a shutdown and returns when nobody gets in any more.
func (g *gateway) stopping(t *testing.T) (stopped chan error) {
	t.Helper()
	stopped = make(chan error, 1)
	go func() { stopped <- within(10*time.Second, g.Shutdown) }()
	require.NoError(t, <-g.served)
	return stopped
}

// TestShutdownAnswersWhatIsOnItsWay: a request that crosses the stop, on a
// connection that waits for it, is answered like any other.
func TestShutdownAnswersWhatIsOnItsWay(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		for name, before := range map[string]int{"a kept connection": 1, "a new connection": 0} {
			t.Run(name, func(t *testing.T) {
				g := b.serve(t)
				c := g.dial(t)
				for range before {
					require.Equal(t, 404, c.ping(t))
				}
				g.eventually(t, "gateway_connections", 1)
				stopped := g.stopping(t)
				a := c.send(g.valid(t)).answer(t)
				require.Equal(t, 200, a.status)
				c.hungUp(t, a)
				require.NoError(t, c.Close())
				require.NoError(t, <-stopped)
				require.Zero(t, g.metric("gateway_connections"))
			})
		}
	})
}

// TestShutdownInAHurry: who sends nothing does not hold up a stop.
func TestShutdownInAHurry(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		kept, fresh := g.dial(t), g.dial(t)
		require.Equal(t, 404, kept.ping(t))
		g.eventually(t, "gateway_connections", 2)
		require.NoError(t, within(500*time.Millisecond, g.Shutdown))
		kept.ended(t)
		fresh.ended(t)
	})
}

// TestShutdownReadsOnAfterItsLastAnswer: a sender that had sent more reads its
// answer, which says that the rest was not taken, and no reset.
func TestShutdownReadsOnAfterItsLastAnswer(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g, c, id, release := held(t, b)
		for range 100 { // more than is read ahead
			c.send(g.valid(t))
		}
		stopped := g.stopping(t)
		release()
		a := c.answer(t)
		requireStatus(t, a, 200, "accepted", id)
		require.Equal(t, "close", a.header.Get("Connection"))
		rest, err := io.ReadAll(c.r)
		require.NoError(t, err, "an end, not a reset")
		require.Empty(t, string(rest))
		require.NoError(t, c.Close())
		require.NoError(t, <-stopped)
		require.EqualValues(t, 1, g.stored(t))
	})
}

// TestShutdownAcceptsWhoIsConnected: who got a connection from the system before
// the stop is answered, although the gateway had not accepted it.
func TestShutdownAcceptsWhoIsConnected(t *testing.T) {
	slow := &slowListener{stopped: make(chan struct{})}
	g := newBackend(t).serve(t, func(s *setUp) {
		s.listener = func(l net.Listener) net.Listener {
			slow.TCPListener = l.(*net.TCPListener)
			return slow
		}
	})
	var queued []*conn
	for range 5 {
		queued = append(queued, g.dial(t).send(g.valid(t)))
	}
	stopped := g.stopping(t)
	for _, c := range queued {
		a := c.answer(t)
		require.Equal(t, 200, a.status)
		c.hungUp(t, a)
		require.NoError(t, c.Close())
	}
	require.NoError(t, <-stopped)
}

// slowListener accepts nobody before it is told to stop.
type slowListener struct {
	*net.TCPListener
	once    sync.Once
	stopped chan struct{}
}

func (l *slowListener) Accept() (net.Conn, error) {
	<-l.stopped
	return l.TCPListener.Accept()
}

func (l *slowListener) SetDeadline(at time.Time) error {
	defer l.once.Do(func() { close(l.stopped) })
	return l.TCPListener.SetDeadline(at)
}

func (l *slowListener) Close() error {
	defer l.once.Do(func() { close(l.stopped) })
	return l.TCPListener.Close()
}

// TestTurnAwayNew: who is connected can be accepted, nobody else gets
// connected.
func TestTurnAwayNew(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("for Linux alone")
	}
	for listen, dial := range map[string]string{"127.0.0.1": "127.0.0.1", "::1": "::1", "": "127.0.0.1"} {
		t.Run(listen, func(t *testing.T) {
			var config net.ListenConfig
			config.SetMultipathTCP(false)
			l, err := config.Listen(t.Context(), "tcp", net.JoinHostPort(listen, "0"))
			if err != nil && listen == "::1" {
				t.Skip("no IPv6:", err)
			}
			require.NoError(t, err)
			defer l.Close()
			_, port, err := net.SplitHostPort(l.Addr().String())
			require.NoError(t, err)
			address := net.JoinHostPort(dial, port)
			before, err := net.Dial("tcp", address)
			require.NoError(t, err)
			defer before.Close()
			require.NoError(t, server.TurnAwayNew(l.(*net.TCPListener)))
			_, err = net.DialTimeout("tcp", address, 100*time.Millisecond)
			var timeout net.Error
			require.ErrorAs(t, err, &timeout)
			require.True(t, timeout.Timeout(), err)

			_, err = io.WriteString(before, "hello")
			require.NoError(t, err)
			accepted, err := l.Accept()
			require.NoError(t, err)
			defer accepted.Close()
			got := make([]byte, len("hello"))
			_, err = io.ReadFull(accepted, got)
			require.NoError(t, err)
			require.Equal(t, "hello", string(got))
		})
	}
}
