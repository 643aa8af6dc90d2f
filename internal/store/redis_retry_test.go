package store_test

import (
	"bytes"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
)

// lossy is a TCP proxy before Redis that loses the reply to the next script that
// runs, together with the connection, as a failing network does.
type lossy struct {
	net.Listener
	server string
	armed  atomic.Bool
	lost   atomic.Int32
}

func newLossy(t *testing.T, server string) *lossy {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &lossy{Listener: listener, server: server}
	t.Cleanup(func() { _ = l.Close() })
	go l.serve()
	return l
}

func (l *lossy) serve() {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", l.server)
		if err != nil {
			_ = client.Close()
			return
		}
		var script atomic.Bool // the last request on this connection ran one
		go relay(server, client, func(request []byte) bool {
			script.Store(bytes.Contains(bytes.ToLower(request), []byte("eval")))
			return true
		})
		go relay(client, server, func(reply []byte) bool {
			ran := script.Load() && !bytes.HasPrefix(reply, []byte("-NOSCRIPT"))
			if ran && l.armed.CompareAndSwap(true, false) {
				l.lost.Add(1)
				return false
			}
			return true
		})
	}
}

// relay copies what passes, and closes both ends when something does not.
func relay(to, from net.Conn, passes func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !passes(buf[:n]) {
			return
		}
		if _, err := io.Copy(to, bytes.NewReader(buf[:n])); err != nil {
			return
		}
	}
}

// TestLostReply runs each call twice on the server, since the client library
// repeats what it got no answer to, and wants the answer of a single run.
func TestLostReply(t *testing.T) {
	cases := map[string]struct {
		before func(*testing.T, fixture)
		call   func(*testing.T, fixture)
	}{
		"granted": {
			call: func(t *testing.T, f fixture) { f.want(t, event.Granted, "a") },
		},
		"granted with an alias": {
			call: func(t *testing.T, f fixture) {
				require.Equal(t, key, f.aliasOf(t, "evt-1"))
				require.Equal(t, key, f.aliasOf(t, "evt-2"))
			},
		},
		"an alias of another": {
			before: func(t *testing.T, f fixture) { f.aliasOf(t, "evt-1") },
			call:   func(t *testing.T, f fixture) { require.Equal(t, key, f.aliasOf(t, "evt-2")) },
		},
		"inherited": {
			before: func(t *testing.T, f fixture) {
				f.want(t, event.Granted, "a")
				f.pass(lease + wait + 1e9)
			},
			call: func(t *testing.T, f fixture) { f.want(t, event.Inherited, "b") },
		},
		"renewed": {
			before: func(t *testing.T, f fixture) { f.want(t, event.Granted, "a") },
			call:   func(t *testing.T, f fixture) { require.True(t, f.renew(t, "a")) },
		},
		"spooled": {
			before: func(t *testing.T, f fixture) { f.want(t, event.Granted, "a") },
			call:   func(t *testing.T, f fixture) { require.True(t, f.spool(t, "a")) },
		},
		"confirmed": {
			before: func(t *testing.T, f fixture) { f.want(t, event.Granted, "a") },
			call: func(t *testing.T, f fixture) {
				require.Equal(t, []bool{true}, f.confirm(t, delivery("a")))
			},
		},
		"confirmed anew": {
			call: func(t *testing.T, f fixture) {
				require.Equal(t, []bool{true}, f.confirm(t, delivery("a")))
			},
		},
		"released": {
			before: func(t *testing.T, f fixture) { f.want(t, event.Granted, "a") },
			call: func(t *testing.T, f fixture) {
				f.release(t, "a")
				f.want(t, event.Granted, "b")
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			proxy := newLossy(t, startMiniredis(t, c).Addr())
			f := fixture{
				claims: openRedis(t, "redis://"+proxy.Addr().String(), "awareid"),
				pass:   c.pass, now: c.now, stopped: true,
			}
			if tc.before != nil {
				tc.before(t, f)
			}
			proxy.armed.Store(true)
			tc.call(t, f)
			require.EqualValues(t, 1, proxy.lost.Load(), "a reply was to be lost")
		})
	}
}
