package server_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

func TestHeaderLimits(t *testing.T) {
	const most, lines = 2000, 20
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.MaxHeaderBytes, s.Limits.MaxHeaders = most, lines })
	begin := "POST /unknown HTTP/1.1\r\nHost: h\r\n"
	for name, tc := range map[string]struct {
		raw  string
		want int
	}{
		"just enough bytes": {begin + "A: " + strings.Repeat("a", most-len(begin)-len("A: \r\n\r\n")) + "\r\n\r\n", 404},
		"a byte too many":   {begin + "A: " + strings.Repeat("a", most-len(begin)-len("A: \r\n\r\n")+1) + "\r\n\r\n", 431},
		"just enough lines": {begin + strings.Repeat("A: a\r\n", lines-1) + "\r\n", 404},
		"a line too many":   {begin + strings.Repeat("A: a\r\n", lines) + "\r\n", 431},
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial(t)
			a := c.send(tc.raw).answer(t)
			require.Empty(t, requireProblem(t, a, tc.want))
			if tc.want == 431 {
				c.hungUp(t, a)
			}
		})
	}
}

// TestTrickle: what comes byte by byte has the time of one that comes at once.
func TestTrickle(t *testing.T) {
	const limit = 300 * time.Millisecond
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.ReadTimeout = limit })
	header, body := sealed(t, g.scheme, padded([]byte("{}"), 10_000))
	begin := "POST " + server.Path + " HTTP/1.1\r\nHost: h\r\nX-A: "
	for name, tc := range map[string]struct{ at, then string }{
		"headers":        {begin, strings.Repeat("a", 10_000)},
		"a body":         {strings.TrimSuffix(post(server.Path, header, body), string(body)), string(body)},
		"a chunked body": {head("POST", server.Path, http.Header{"Transfer-Encoding": {"chunked"}}), strings.Repeat("1\r\na\r\n", 3000)},
		"one chunk":      {head("POST", server.Path, http.Header{"Transfer-Encoding": {"chunked"}}) + "2000\r\n", strings.Repeat("a", 0x2000)},
		"a chunk's size": {head("POST", server.Path, http.Header{"Transfer-Encoding": {"chunked"}}), strings.Repeat("0", 10_000)},
		"a trailer":      {head("POST", server.Path, http.Header{"Transfer-Encoding": {"chunked"}}) + "0\r\nA: ", strings.Repeat("a", 10_000)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, began := g.dial(t), time.Now()
			done := make(chan struct{})
			c.send(tc.at)
			go c.trickle(tc.then, done)
			a := c.answer(t)
			close(done)
			if name == "a chunk's size" {
				require.Contains(t, []int{400, 408}, a.status, "it may be seen before that it is none")
				return
			}
			require.Empty(t, requireProblem(t, a, 408))
			require.GreaterOrEqual(t, time.Since(began), limit)
			require.Less(t, time.Since(began), 10*limit)
		})
	}
}

// trickle writes a byte every few milliseconds.
func (c *conn) trickle(raw string, done <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := range raw {
		select {
		case <-done:
			return
		case <-tick.C:
			if _, err := io.WriteString(c, raw[i:i+1]); err != nil {
				return
			}
		}
	}
}

// TestARefusalReachesAKeptConnection, although the time in which its last answer
// had to be taken is over.
func TestARefusalReachesAKeptConnection(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.ReadTimeout = 150 * time.Millisecond })
	c := g.dial(t)
	require.Equal(t, 404, c.ping(t))
	a := c.send("POST /web").answer(t)
	requireProblem(t, a, 408)
	c.hungUp(t, a)
}

// TestWhoNeverReadsIsCut: answers wait for their peer a limited time.
func TestWhoNeverReadsIsCut(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.ReadTimeout = 200 * time.Millisecond })
	c := g.dial(t)
	flood := []byte(strings.Repeat("GET /x HTTP/1.1\r\nHost: h\r\n\r\n", 10_000))
	for {
		if _, err := c.Write(flood); err != nil {
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the gateway goes on to read")
			break
		}
	}
	g.eventually(t, "gateway_connections", 0)
}

func TestRequestsAtWorkAreCapped(t *testing.T) {
	g, busy, id, release := held(t, newBackend(t), func(s *setUp) { s.Limits.MaxRequests = 1 })
	require.EqualValues(t, 1, g.metric("gateway_requests"))
	c := g.dial(t)
	for range 2 {
		a := c.send(g.valid(t)).answer(t)
		require.Empty(t, requireProblem(t, a, 503), "whoever asks")
		require.Equal(t, "1", a.header.Get("Retry-After"))
	}
	require.EqualValues(t, 2, g.metric(`gateway_refusals_total{cause="busy"}`))
	release()
	requireStatus(t, busy.answer(t), 200, "accepted", id)
	g.eventually(t, "gateway_requests", 0)
	require.Equal(t, 200, c.send(g.valid(t)).answer(t).status, "on the same connection")
	g.eventually(t, "gateway_body_bytes", 0)
}

// TestSlowSendersTakeNoPlace of those that the signature is next for.
func TestSlowSendersTakeNoPlace(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.MaxRequests = 1 })
	raw := g.valid(t)
	for range 5 {
		g.dial(t).send(raw[:len(raw)-1])
	}
	require.Eventually(t, func() bool { return g.metric("gateway_body_bytes") > 0 }, 10*time.Second, 5*time.Millisecond)
	for range 10 {
		require.Equal(t, 401, g.exchange(t, raw[:len(raw)-1]+"x").status)
		require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
	}
}

// TestWhoIsHeldTakesNoPlace: the forged ones among them would, for seconds.
func TestWhoIsHeldTakesNoPlace(t *testing.T) {
	g := newBackend(t).serve(t, onlyTheOldSecret, func(s *setUp) { s.Limits.MaxRequests = 1 })
	g.SetRotating(webhookID, true)
	var waiting []*conn
	for range 3 {
		waiting = append(waiting, g.dial(t).send(second(g.underNext(t))))
	}
	g.eventually(t, "gateway_held", 3)
	require.Zero(t, g.metric("gateway_requests"))
	require.Equal(t, 200, g.exchange(t, g.valid(t)).status)
	require.NoError(t, g.SetSecrets(webhookID, rotated))
	g.SetRotating(webhookID, false)
	for i, c := range waiting {
		require.Equal(t, 200, c.answer(t).status, fmt.Sprint(i))
	}
	g.eventually(t, "gateway_requests", 0)
}
