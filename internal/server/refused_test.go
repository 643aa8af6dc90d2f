package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

func TestUnauthorized(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	requireStatus(t, g.exchange(t, g.valid(t)), 200, "accepted", idOf(t, b))
	stored := b.stored(t)
	with := func(change func(*simulator.Scheme)) func() (http.Header, []byte) {
		return func() (http.Header, []byte) {
			s := g.scheme
			change(&s)
			_, event := newEvent()
			return sealed(t, s, event)
		}
	}
	edited := func(change func(http.Header)) func() (http.Header, []byte) {
		return func() (http.Header, []byte) {
			header, body := with(func(*simulator.Scheme) {})()
			change(header)
			return header, body
		}
	}
	otherSecret := "b3RoZXItc2VjcmV0LW9mLTMyLWJ5dGVzLTAwMDAwMDA="
	var first answer
	for name, request := range map[string]func() (http.Header, []byte){
		"no signature":             with(func(s *simulator.Scheme) { s.Unsigned = true }),
		"wrong signature":          edited(func(h http.Header) { h.Set(simulator.DefaultSignatureHeader, strings.Repeat("ab", 32)) }),
		"no signature at all":      edited(func(h http.Header) { h.Set(simulator.DefaultSignatureHeader, "short") }),
		"wrong secret":             with(func(s *simulator.Scheme) { s.Secret = otherSecret }),
		"expired secret":           with(func(s *simulator.Scheme) { s.Secret = nextSecret }),
		"no auth header":           edited(func(h http.Header) { h.Del(authKey) }),
		"wrong auth header":        edited(func(h http.Header) { h.Set(authKey, "wrong") }),
		"empty auth header":        edited(func(h http.Header) { h.Set(authKey, "") }),
		"auth header of two":       edited(func(h http.Header) { h.Add(authKey, "wrong") }),
		"auth header, first wrong": edited(func(h http.Header) { h[authKey] = []string{"wrong", authValue} }),
		"neither":                  func() (http.Header, []byte) { return http.Header{}, []byte("{}") },
		"an empty body":            func() (http.Header, []byte) { return http.Header{}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			header, body := request()
			a := g.exchange(t, post(server.Path, header, body))
			require.Empty(t, requireProblem(t, a, 401), "no cause")
			a.header.Del("Date")
			if first.status == 0 {
				first = a
			}
			require.Equal(t, first, a, "the same for all causes")
		})
	}
	require.Equal(t, stored, b.stored(t))
}

// idOf is the id of the only record.
func idOf(t *testing.T, b *backend) string {
	t.Helper()
	records := b.records(t)
	require.Len(t, records, 1)
	return headerOf(records[0], "ce_id")
}

func TestSecretThatHasNotEndedYet(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Now = func() time.Time { return now.Add(-time.Millisecond) } })
	g.scheme.Secret = nextSecret
	id, event := newEvent()
	requireStatus(t, g.exchange(t, g.signed(t, event)), 200, "accepted", id)
}

func TestForbidden(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")} })
	c := g.dial(t)
	a := c.send(g.valid(t), g.valid(t)).answer(t)
	require.Empty(t, requireProblem(t, a, 403))
	c.hungUp(t, a)
	require.Zero(t, b.stored(t))

	allowed := dialFrom(t, g.address, loopback(2))
	require.Equal(t, 200, allowed.send(g.valid(t)).answer(t).status)
}

func TestMethodNotAllowed(t *testing.T) {
	g := newBackend(t).serve(t)
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "post"} {
		a := g.exchange(t, head(method, server.Path, http.Header{"Content-Length": {"0"}}))
		require.Empty(t, requireProblem(t, a, 405), method)
		require.Equal(t, "POST", a.header.Get("Allow"))
	}
}

func TestHeadHasNoBody(t *testing.T) {
	g := newBackend(t).serve(t)
	c := g.dial(t)
	c.send("HEAD "+server.Path+" HTTP/1.1\r\nHost: h\r\n\r\n", g.valid(t))
	response, err := http.ReadResponse(c.r, &http.Request{Method: "HEAD"})
	require.NoError(t, err)
	require.Equal(t, 405, response.StatusCode)
	require.Equal(t, 200, c.answer(t).status)
}

func TestSlowSenders(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.ReadTimeout = 150 * time.Millisecond })
	header, body := sealed(t, g.scheme, []byte("{}"))
	whole, inChunks := post(server.Path, header, body), chunked(server.Path, header, body, 10)
	for name, raw := range map[string]string{
		"half a line":       "POST /web",
		"half the headers":  "POST " + server.Path + " HTTP/1.1\r\nHost: h\r\nX-A: a",
		"headers alone":     strings.TrimSuffix(whole, string(body)),
		"half the body":     whole[:len(whole)-10],
		"more than a read":  post(server.Path, header, make([]byte, 20_000))[:10_000],
		"half a chunk":      inChunks[:len(inChunks)-12],
		"half a chunk size": strings.SplitAfter(inChunks, "\r\n\r\n")[0] + "a",
		"no chunk":          strings.SplitAfter(inChunks, "\r\n\r\n")[0],
		"no last chunk":     strings.TrimSuffix(inChunks, "0\r\n\r\n"),
		"no end of chunks":  strings.TrimSuffix(inChunks, "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial(t)
			defer c.Close()
			a := c.send(raw).answer(t)
			require.Empty(t, requireProblem(t, a, 408))
			c.hungUp(t, a)
		})
	}
	require.Zero(t, b.stored(t))
	require.Zero(t, g.metric("gateway_body_bytes"))
}

// TestIdleConnectionsEndInSilence: there is no request that an answer would be
// for.
func TestIdleConnectionsEndInSilence(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.IdleTimeout = 100 * time.Millisecond })
	c := g.dial(t)
	require.Equal(t, 200, c.send(g.valid(t)).answer(t).status)
	c.ended(t)
}

func TestWhoSendsNothingIsCutInSilence(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.ReadTimeout = 100 * time.Millisecond })
	g.dial(t).ended(t)
	g.eventually(t, "gateway_connections", 0)
	require.NotContains(t, g.metrics(), "gateway_refusals_total{")
}

func TestBodySize(t *testing.T) {
	const limit = 20_000
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) { s.Limits.MaxBodyBytes = limit })
	g.scheme.Cipher = "none"
	for _, size := range []int{limit - 1, limit, limit + 1} {
		for name, request := range map[string]func(http.Header, []byte) string{
			"length":       func(h http.Header, body []byte) string { return post(server.Path, h, body) },
			"chunks":       func(h http.Header, body []byte) string { return chunked(server.Path, h, body, 4096) },
			"one chunk":    func(h http.Header, body []byte) string { return chunked(server.Path, h, body, 1<<20) },
			"small chunks": func(h http.Header, body []byte) string { return chunked(server.Path, h, body, 3) },
		} {
			t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
				id, event := newEvent()
				header, body := sealed(t, g.scheme, padded(event, size))
				c := g.dial(t)
				defer c.Close()
				go c.send(request(header, body))
				a := c.answer(t)
				if size <= limit {
					requireStatus(t, a, 200, "accepted", id)
					return
				}
				require.Empty(t, requireProblem(t, a, 413))
				c.hungUp(t, a)
			})
		}
	}
	g.eventually(t, "gateway_body_bytes", 0)
}

// padded makes an event as long as wanted.
func padded(event []byte, size int) []byte {
	return append(event, bytes.Repeat([]byte(" "), size-len(event))...)
}

// TestTooLargeIsToldEarly: the answer does not wait for the rest of what was
// announced, and for a body without an announced end it comes at the limit.
func TestTooLargeIsToldEarly(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.ReadTimeout = time.Minute })
	limit := 64 << 10
	for name, raw := range map[string]string{
		"length": head("POST", server.Path, http.Header{"Content-Length": {fmt.Sprint(1 << 30)}}) + strings.Repeat("a", 10_000),
		"chunk":  head("POST", server.Path, http.Header{"Transfer-Encoding": {"chunked"}}) + "40000000\r\n" + strings.Repeat("a", limit+1),
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial(t)
			a := c.send(raw).answer(t)
			require.Empty(t, requireProblem(t, a, 413))
			c.hungUp(t, a)
		})
	}
}

func TestHeadersThatAreTooLarge(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	for name, raw := range map[string]string{
		"a value":  head("POST", server.Path, http.Header{"X-A": {strings.Repeat("a", 17<<10)}}),
		"a path":   head("POST", "/"+strings.Repeat("a", 17<<10), nil),
		"many":     head("POST", server.Path, http.Header{"X-A": strings.Split(strings.Repeat("a", 3000), "")}),
		"no end":   "POST " + server.Path + " HTTP/1.1\r\nX-A: " + strings.Repeat("a", 17<<10),
		"one line": strings.Repeat("a", 17<<10),
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial(t)
			defer c.Close()
			a := c.send(raw).answer(t)
			require.Empty(t, requireProblem(t, a, 431))
			c.hungUp(t, a)
		})
	}
	id, event := newEvent()
	header, body := sealed(t, g.scheme, event)
	header.Set("X-A", strings.Repeat("a", 14<<10))
	requireStatus(t, g.exchange(t, post(server.Path, header, body)), 200, "accepted", id)
}
