package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

func TestConnectionsOutliveTheirAnswers(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		again := g.valid(t)
		c := g.dial(t)
		for _, tc := range []struct {
			raw  string
			want int
		}{
			{again, 200}, {again, 200},
			{post(server.Path, http.Header{}, []byte("forged")), 401},
			{head("POST", "/unknown", nil), 404},
			{head("GET", server.Path, nil), 405},
			{head("PURGE", server.Path, nil), 405},
			{g.valid(t), 200},
		} {
			require.Equal(t, tc.want, c.send(tc.raw).answer(t).status)
		}
	})
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		first, second := g.valid(t), g.valid(t)
		c := g.dial(t)
		c.send(first + head("POST", "/unknown", nil) + post(server.Path, http.Header{}, []byte("forged")) + second +
			head("GET", server.Path, nil) + first + "bad\r\n\r\n" + first)
		for _, want := range []int{200, 404, 401, 200, 405, 200, 400} {
			require.Equal(t, want, c.answer(t).status)
		}
		c.ended(t)
	})
}

func TestByteByByte(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		c := g.dial(t)
		for range 2 {
			c.send(strings.Split(g.valid(t), "")...)
			require.Equal(t, 200, c.answer(t).status)
		}
	})
}

// TestUnreadBodiesEndTheConnection: what is in a body that nobody read is never
// taken for a request.
func TestUnreadBodiesEndTheConnection(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		smuggled := g.valid(t)
		for _, size := range []int{len(smuggled), 5_000, 100_000, 1 << 20} {
			body := bytes.Repeat([]byte(smuggled), size/len(smuggled))
			for name, unread := range map[string]string{
				"length":  post("/unknown", http.Header{}, body),
				"chunked": chunked("/unknown", http.Header{}, body, 1000),
				"one":     chunked("/unknown", http.Header{}, body, 1<<20),
				"method":  "GET" + strings.TrimPrefix(post(server.Path, http.Header{}, body), "POST"),
			} {
				t.Run(fmt.Sprint(name, " ", size), func(t *testing.T) {
					c := g.dial(t)
					defer c.Close()
					go c.send(unread, head("GET", server.Path+"/last", nil))
					a := c.answer(t)
					require.Contains(t, []int{404, 405}, a.status)
					c.ended(t)
				})
			}
		}
		require.Zero(t, b.stored(t))
	})
}

func TestExpectContinue(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		id, event := newEvent()
		header, body := sealed(t, g.scheme, event)
		header.Set("Expect", "100-continue")
		raw := post(server.Path, header, body)
		c := g.dial(t)
		c.send(strings.TrimSuffix(raw, string(body)))
		require.Equal(t, 100, c.answer(t).status)
		requireStatus(t, c.send(string(body)).answer(t), 200, "accepted", id)
		require.Equal(t, 200, c.send(g.valid(t)).answer(t).status)
	})
}

func TestHTTP10(t *testing.T) {
	overBoth(t, func(t *testing.T, b *backend) {
		g := b.serve(t)
		c := g.dial(t)
		a := c.send(strings.Replace(g.valid(t), "HTTP/1.1", "HTTP/1.0", 1)).answer(t)
		require.Equal(t, 200, a.status)
		c.ended(t)
	})
}
