package server_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// TestTheHeaderIsEnoughToRefuse: no byte of a body is waited for, and no
// 100 Continue asks for one.
func TestTheHeaderIsEnoughToRefuse(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) { s.Limits.ReadTimeout = time.Minute })
	for name, tc := range map[string]struct {
		raw  string
		want int
	}{
		"too large":        {"POST " + server.Path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999\r\n\r\n", 413},
		"unknown path":     {"POST /unknown HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n", 404},
		"path by decoding": {"POST /webhooks/%61wareid HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n", 404},
		"path by cleaning": {"POST /a/.." + server.Path + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 404},
		"method":           {"PUT " + server.Path + " HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n", 405},
		"encoding":         {"POST " + server.Path + " HTTP/1.1\r\nHost: h\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n", 415},
		"framing":          {"POST " + server.Path + " HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\nContent-Length: 100\r\n\r\n", 400},
		"expect":           {"POST /unknown HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", 404},
	} {
		t.Run(name, func(t *testing.T) {
			c := g.dial(t)
			requireProblem(t, c.send(tc.raw).answer(t), tc.want)
			c.ended(t)
		})
	}
}

func TestTheTargetMayBeAbsolute(t *testing.T) {
	g := newBackend(t).serve(t)
	for _, prefix := range []string{"http://gateway.example", "http://h:80"} {
		raw := strings.Replace(g.valid(t), server.Path, prefix+server.Path+"?x=1", 1)
		require.Equal(t, 200, g.exchange(t, raw).status)
	}
}

// TestASenderThatIsStillWritingSeesItsAnswer: the connection does not break
// under it.
func TestASenderThatIsStillWritingSeesItsAnswer(t *testing.T) {
	g := newBackend(t).serve(t)
	for range 10 {
		body := strings.NewReader(strings.Repeat("x", 2<<20))
		response, err := http.Post("http://"+g.address+server.Path, "", body)
		require.NoError(t, err)
		require.Equal(t, 413, response.StatusCode)
		require.NoError(t, response.Body.Close())
	}
}
