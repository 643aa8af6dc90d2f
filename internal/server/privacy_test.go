package server_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/server"
)

// TestNothingPrivateShows in the log at debug level, in the metrics, or in an
// answer, whatever becomes of a request.
func TestNothingPrivateShows(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t, func(s *setUp) {
		s.Limits.ReadTimeout = 300 * time.Millisecond
		s.Limits.RequestsPerWebhook = 100
		s.Limits.BodyBudgetBytes = 60_000
	})
	show := newShow(t, g)

	show.all(200, "none", func(id string) []byte { return eventAt(id, now) })
	show.all(200, "gcm", func(id string) []byte { return eventAt(id, now) })
	show.all(202, "gcm", func(id string) []byte { return eventAt(id, now.Add(time.Hour)) })
	show.all(202, "cbc", func(string) []byte { return []byte(`{"id":"canary id","username":"canary"`) })
	show.all(202, "none", func(string) []byte { return []byte(`{"id":"canary id"}`) })
	show.all(202, "none", func(string) []byte { return []byte(`{"iv":"canary","p":"canary"}`) })
	show.all(202, "none", func(string) []byte { return []byte("canary, not JSON") })
	show.all(413, "none", func(string) []byte { return bytes.Repeat([]byte("canary"), 20_000) })
	show.all(503, "none", func(string) []byte { return bytes.Repeat([]byte("canary"), 10_000) })

	private := http.Header{authKey: {authValue}, "X-Canary": {"canary"}, "Authorization": {"Bearer canary"}, "Content-Type": {"canary"}}
	forged := post(server.Path, private, []byte(`{"username":"canary"}`))
	show.answer(401, forged)
	show.answer(404, strings.Replace(forged, server.Path, "/canary/"+secret, 1))
	show.answer(405, strings.Replace(forged, "POST", "CANARY", 1))
	show.answer(400, strings.Replace(forged, "HTTP/1.1", "canary", 1))
	show.answer(400, strings.Replace(forged, "X-Canary:", "X-Canary :", 1))
	show.answer(400, strings.Replace(forged, "Content-Length", "Content-Length: canary\r\nX", 1))
	show.answer(408, forged[:len(forged)-3])
	private.Set("Content-Encoding", "canary")
	show.answer(415, post(server.Path, private, nil))
	private.Set("X-Canary", strings.Repeat("canary", 5000))
	show.answer(431, post(server.Path, private, nil))

	for range 100 {
		g.exchange(t, g.valid(t))
	}
	show.answer(429, g.valid(t))

	down := b.serve(t)
	show = newShow(t, down)
	b.kafka.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		b.kafka.KeepControl()
		return produceAnswer(req, kerr.InvalidRecord), nil, true
	})
	show.all(503, "none", func(id string) []byte { return eventAt(id, now) })
	b.redis.SetError("LOADING Redis is loading the dataset in memory")
	show.all(503, "none", func(id string) []byte { return eventAt(id, now) })
	b.redis.SetError("")
	b.redis.Close()
	show.all(503, "none", func(id string) []byte { return eventAt(id, now) })
}

// show looks at everything that an outcome leaves behind.
type show struct {
	t *testing.T
	g *gateway
}

func newShow(t *testing.T, g *gateway) show { return show{t, g} }

// all sends an authentic event.
func (s show) all(want int, cipher string, event func(id string) []byte) {
	s.t.Helper()
	scheme := s.g.scheme
	scheme.Cipher = cipher
	header, body := sealed(s.t, scheme, event(uuid.NewString()))
	s.answer(want, post(server.Path, header, body))
	for _, piece := range []string{string(body[:min(len(body), 24)]), header.Get("X-Aware-Signature")} {
		require.NotContains(s.t, s.g.log.String(), piece)
		require.NotContains(s.t, s.g.metrics(), piece)
	}
}

func (s show) answer(want int, raw string) {
	s.t.Helper()
	c := s.g.dial(s.t)
	defer c.Close()
	go c.send(raw)
	a := c.answer(s.t)
	require.Equal(s.t, want, a.status, a.body)
	for _, private := range []string{"canary", secret, nextSecret} {
		require.NotContains(s.t, a.body, private)
	}
	s.g.requireSilence(s.t)
}
