package server_test

import (
	"bytes"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// clock is a time that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return now.Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

func TestRatePerAddress(t *testing.T) {
	var time clock
	g := newBackend(t).serve(t, func(s *setUp) {
		s.Now, s.Limits.RequestsPerAddress = time.now, 2
		s.Limits.TrustedProxies = prefixes("127.0.0.1/32")
	})
	try := func(forwardedFor string) answer {
		return g.exchange(t, "POST /unknown HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: "+forwardedFor+"\r\n\r\n")
	}
	for _, site := range [][]string{{"198.51.100.7", "198.51.100.7", "::ffff:198.51.100.7"}, {"2001:db8::1", "2001:db8::2", "2001:db8::3:4"}} {
		require.Equal(t, 404, try(site[0]).status)
		require.Equal(t, 404, try(site[1]).status)
		a := try(site[2])
		require.Empty(t, requireProblem(t, a, 429))
		require.Equal(t, "1", a.header.Get("Retry-After"))
		require.Empty(t, a.header.Get("Connection"))
	}
	require.Equal(t, 404, try("198.51.100.8").status, "a neighbour in IPv4")
	require.Equal(t, 404, try("2001:db8:0:1::1").status, "another subscriber in IPv6")
	time.advance(500 * 1e6)
	require.Equal(t, 404, try("198.51.100.7").status)
	require.Equal(t, 429, try("198.51.100.7").status)
}

// TestTooFastKeepsTheConnection, which is cheaper than another, unless there is much
// to skip. What is skipped is no request.
func TestTooFastKeepsTheConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		var time clock
		g := b.serve(t, func(s *setUp) {
			s.Now, s.Limits.RequestsPerAddress, s.Limits.MaxBodyBytes = time.now, 1, 1<<20
			s.Limits.TrustedProxies = prefixes("192.0.2.1/32")
		})
		require.Equal(t, 404, g.dial(t).ping(t))
		smuggled := g.valid(t)
		most := bytes.Repeat([]byte(smuggled), 1+(16<<10)/len(smuggled))[:16<<10]
		c := g.dial(t)
		for _, raw := range []string{head("GET", "/", nil), smuggled, post(server.Path, http.Header{}, most)} {
			require.Equal(t, 429, c.send(raw).answer(t).status)
		}
		time.advance(1e9)
		require.Equal(t, 200, c.send(smuggled).answer(t).status)
		for name, raw := range map[string]string{
			"longer":        post(server.Path, http.Header{}, append(most, 'a')),
			"chunked":       chunked(server.Path, http.Header{}, most, 1000),
			"to be refused": post("/unknown", http.Header{}, most),
		} {
			t.Run(name, func(t *testing.T) {
				c := g.dial(t)
				a := c.send(raw, smuggled).answer(t)
				require.Equal(t, 429, a.status)
				c.hungUp(t, a)
			})
		}
		require.EqualValues(t, 1, g.metric(`gateway_events_total{family="enrollment",outcome="accepted",webhook="`+webhookID+`"}`))
	})
}

// TestQuotaPerWebhook: what is forged does not use it up.
func TestQuotaPerWebhook(t *testing.T) {
	var time clock
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Now, s.Limits.RequestsPerWebhook = time.now, 1 })
	id, event := newEvent()
	raw := g.signed(t, event)
	c := g.dial(t)
	for range 20 {
		require.Equal(t, 401, c.send(raw[:len(raw)-1]+"x").answer(t).status)
	}
	requireStatus(t, c.send(raw).answer(t), 200, "accepted", id)
	a := c.send(g.valid(t)).answer(t)
	require.Contains(t, requireProblem(t, a, 429), "quota")
	require.Equal(t, "1", a.header.Get("Retry-After"))
	require.EqualValues(t, 1, b.stored(t))
	time.advance(1e9)
	requireStatus(t, c.send(raw).answer(t), 200, "duplicate", id)
}
