package server_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

func prefixes(list ...string) (p []netip.Prefix) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

func TestClient(t *testing.T) {
	trusted := prefixes("10.0.0.0/8", "2001:db8:ff::/48", "fe80::/10")
	for _, tc := range []struct{ name, peer, forwardedFor, want string }{
		{"no proxy", "203.0.113.9", "", "203.0.113.9"},
		{"a stranger's word", "203.0.113.9", "198.51.100.7", "203.0.113.9"},
		{"a proxy's word", "10.0.0.1", "198.51.100.7", "198.51.100.7"},
		{"two proxies", "10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"},
		{"what a sender made up", "10.0.0.1", "10.0.0.9, 198.51.100.7", "198.51.100.7"},
		{"made up behind a proxy", "10.0.0.1", "1.1.1.1,198.51.100.7,10.0.0.2", "198.51.100.7"},
		{"proxies alone", "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"no word", "10.0.0.1", "", "10.0.0.1"},
		{"garbage", "10.0.0.1", "198.51.100.7, garbage", "10.0.0.1"},
		{"garbage behind a proxy", "10.0.0.1", "garbage, 10.0.0.2", "10.0.0.2"},
		{"garbage left of the client", "10.0.0.1", "garbage, 198.51.100.7", "198.51.100.7"},
		{"an empty element", "10.0.0.1", "198.51.100.7, ", "10.0.0.1"},
		{"only commas", "10.0.0.1", ",,,", "10.0.0.1"},
		{"tabs", "10.0.0.1", "\t198.51.100.7\t", "198.51.100.7"},
		{"IPv6", "2001:db8:ff::1", "2001:db8:1::7", "2001:db8:1::7"},
		{"IPv4 in IPv6", "::ffff:10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"},
		{"a zone at the peer", "fe80::1%eth0", "198.51.100.7", "198.51.100.7"},
		{"a zone in the header", "10.0.0.1", "198.51.100.7, fe80::2%eth0", "198.51.100.7"},
		{"a zone at the client", "10.0.0.1", "2001:db8:1::7%x", "2001:db8:1::7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := server.Client(trusted, netip.MustParseAddr(tc.peer), tc.forwardedFor)
			require.Equal(t, tc.want, got.String())
		})
	}
}

func TestSite(t *testing.T) {
	for addr, want := range map[string]string{
		"198.51.100.7": "198.51.100.7/32", "::ffff:198.51.100.7": "198.51.100.7/32",
		"2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
	} {
		require.Equal(t, want, server.Site(netip.MustParseAddr(addr)).String())
	}
}

// FuzzForwardedFor: what a sender writes before a trusted proxy appended its
// address never counts, and nothing counts from a stranger.
func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", ",", "198.51.100.7", "10.0.0.1, 198.51.100.7", "garbage, ::1", "fe80::1%a,b", "1.1.1.1:80", strings.Repeat("10.0.0.1,", 100)} {
		f.Add(seed)
	}
	trusted := prefixes("10.0.0.0/8")
	proxy, stranger := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("203.0.113.9")
	f.Fuzz(func(t *testing.T, word string) {
		if got := server.Client(trusted, stranger, word); got != stranger {
			t.Errorf("a stranger is taken for %s", got)
		}
		for _, appended := range []string{", 203.0.113.9", ",203.0.113.9, 10.0.0.2"} {
			if got := server.Client(trusted, proxy, word+appended); got != stranger {
				t.Errorf("%q makes a stranger pass for %s", word+appended, got)
			}
		}
		client := server.Client(trusted, proxy, word)
		named := func(element string) bool {
			element = strings.TrimSpace(element)
			addr, err := netip.ParseAddr(element)
			if err != nil {
				withPort, _ := netip.ParseAddrPort(element)
				addr = withPort.Addr()
			}
			return addr.IsValid() && addr.Unmap().WithZone("") == client
		}
		if client != proxy && !slices.ContainsFunc(strings.Split(word, ","), named) {
			t.Errorf("%q does not name %s", word, client)
		}
	})
}

// TestAllForwardingLinesCount: a proxy may add a line of its own behind one that
// the sender made up.
func TestAllForwardingLinesCount(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) {
		s.Limits.TrustedProxies = prefixes("127.0.0.1/32")
		s.Limits.AllowedCIDRs = prefixes("198.51.100.0/24")
	})
	for lines, want := range map[string]int{
		"X-Forwarded-For: 198.51.100.7":                                    404,
		"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 203.0.113.9":    403,
		"X-Forwarded-For: 203.0.113.9\r\nx-forwarded-for: 198.51.100.7":    404,
		"X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 127.0.0.1":      404,
		"X-Forwarded-For: 203.0.113.9":                                     403,
		"X-Real-IP: 198.51.100.7\r\nForwarded: for=198.51.100.7\r\nX-A: a": 403,
	} {
		a := g.exchange(t, "POST /unknown HTTP/1.1\r\nHost: h\r\n"+lines+"\r\n\r\n")
		require.Equal(t, want, a.status, lines)
	}
	c := dialFrom(t, g.address, loopback(2))
	requireProblem(t, c.send("POST / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n").answer(t), 403)
}

// loopback is another address of this host.
func loopback(last byte) net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, last)} }

// TestRefusedInACrowd: who was refused does not keep its place while more than three
// quarters of the places are taken, and who was accepted does.
func TestRefusedInACrowd(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.MaxConnections = 4 })
	accepted, refused, third := g.dial(t), g.dial(t), g.dial(t)
	require.Equal(t, 200, accepted.event(t, g))
	g.eventually(t, "gateway_connections", 3)
	require.Equal(t, 404, refused.ping(t), "three of four are no crowd")
	fourth := g.dial(t)
	g.eventually(t, "gateway_connections", 4)
	a := refused.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n").answer(t)
	require.Equal(t, 404, a.status)
	refused.hungUp(t, a)
	g.eventually(t, "gateway_connections", 3)
	require.Equal(t, 404, third.ping(t))
	require.Equal(t, 404, fourth.ping(t))
	require.Equal(t, 200, accepted.event(t, g))
}

// TestPlacesForProxies: who comes past the trusted proxies cannot take the places
// of those behind them.
func TestPlacesForProxies(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) {
		s.Limits.MaxConnections, s.Limits.MaxConnectionsPerAddress = 10, 0
		s.Limits.TrustedProxies = prefixes("127.0.0.1/32")
	})
	for range 9 {
		dialFrom(t, g.address, loopback(2))
	}
	g.eventually(t, "gateway_connections", 9)
	dialFrom(t, g.address, loopback(2)).ended(t)
	require.Equal(t, 404, g.dial(t).ping(t), "the last place is a proxy's")
	g.dial(t).ended(t)
	g.eventually(t, `gateway_refusals_total{cause="connections"}`, 2)
}

func TestConnectionsAreCapped(t *testing.T) {
	for name, tc := range map[string]struct {
		total, perAddress int
		cause             string
	}{
		"in all":      {3, 0, "connections"},
		"per address": {100, 3, "connections_per_address"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newBackend(t).serve(t, func(s *setUp) {
				s.Limits.MaxConnections, s.Limits.MaxConnectionsPerAddress = tc.total, tc.perAddress
				s.Limits.TrustedProxies = prefixes("192.0.2.1/32") // so that loopback is no proxy
			})
			var open []*conn
			for range 3 {
				open = append(open, g.dial(t))
				require.Equal(t, 200, open[len(open)-1].event(t, g))
			}
			g.dial(t).ended(t)
			g.eventually(t, fmt.Sprintf("gateway_refusals_total{cause=%q}", tc.cause), 1)
			require.EqualValues(t, 3, g.metric("gateway_connections"))

			if tc.perAddress > 0 {
				another := dialFrom(t, g.address, loopback(2))
				require.Equal(t, 200, another.event(t, g), "another address")
				another.Close()
			}
			open[0].Close()
			g.eventually(t, "gateway_connections", 2)
			require.Equal(t, 200, g.dial(t).event(t, g), "a place is free again")
			require.Equal(t, 200, open[1].event(t, g))
			for _, c := range open {
				c.Close()
			}
			g.eventually(t, "gateway_connections", 1)
		})
	}
}

// event sends one that is accepted.
func (c *conn) event(t *testing.T, g *gateway) int {
	t.Helper()
	return c.send(g.valid(t)).answer(t).status
}

// ping asks for what is not there.
func (c *conn) ping(t *testing.T) int {
	t.Helper()
	return c.send("GET /ping HTTP/1.1\r\nHost: h\r\n\r\n").answer(t).status
}

// from makes all connections of a listener come from one address.
type from struct {
	net.Listener
	peer string
}

type fromConn struct {
	net.Conn
	peer net.Addr
}

func (c fromConn) RemoteAddr() net.Addr { return c.peer }

func (l from) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return fromConn{c, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(l.peer))}, nil
}

func TestWhoIsLimitedPerAddress(t *testing.T) {
	const warning = "TRUSTED_PROXIES"
	for name, tc := range map[string]struct {
		peer    string
		trusted []netip.Prefix
		limited bool
		warned  int
	}{
		"a public address":                   {"203.0.113.9:1", nil, true, 0},
		"a private one looks like a proxy":   {"10.0.0.1:1", nil, false, 1},
		"so does one of IPv6":                {"[fd00::1]:1", nil, false, 1},
		"so does this host":                  {"127.0.0.1:1", nil, false, 1},
		"and IPv4 in IPv6":                   {"[::ffff:192.168.0.1]:1", nil, false, 1},
		"a trusted proxy":                    {"10.0.0.1:1", prefixes("10.0.0.0/8"), false, 0},
		"a private one beside trusted ones":  {"192.168.0.1:1", prefixes("10.0.0.0/8"), true, 0},
		"a link-local proxy that is trusted": {"[fe80::1%eth0]:1", prefixes("fe80::/10"), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := newBackend(t).serve(t, func(s *setUp) {
				s.listener = func(l net.Listener) net.Listener { return from{l, tc.peer} }
				s.Limits.TrustedProxies = tc.trusted
				s.Limits.MaxConnectionsPerAddress, s.Limits.RequestsPerAddress = 2, 5
			})
			open := []*conn{g.dial(t), g.dial(t)}
			for _, c := range open {
				require.Equal(t, 404, c.ping(t))
			}
			third := g.dial(t)
			if tc.limited {
				third.ended(t)
			} else {
				require.Equal(t, 404, third.ping(t))
			}
			want := map[bool]int{true: 429, false: 404}[tc.limited]
			for range 3 {
				require.Equal(t, 404, open[0].ping(t))
			}
			require.Equal(t, want, open[0].ping(t))
			require.Equal(t, tc.warned, strings.Count(g.log.String(), warning), "once, if at all")
		})
	}
}
