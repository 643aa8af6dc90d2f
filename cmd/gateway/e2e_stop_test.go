package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// TestStopFinishesWhatIsInFlight stops a gateway that has read half of several
// bodies. Their senders get the answer that is due to them.
func TestStopFinishesWhatIsInFlight(t *testing.T) {
	t.Parallel()
	const (
		requests = 8
		room     = 64 << 10 // memory for the half of a body
	)
	s := newStack(t)
	g := s.serve(t)
	var began []*halfRequest
	for range requests {
		began = append(began, g.begin(t, 70<<10))
	}
	require.Eventually(t, func() bool {
		return strings.Contains(g.get("/metrics").body, fmt.Sprintf("gateway_body_bytes %d\n", requests*room))
	}, patience, 10*time.Millisecond)

	g.stop()
	g.await(t, g.err, 1, `"msg":"stopping`)
	require.Eventually(t, func() bool { // no new connection
		conn, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, patience, 10*time.Millisecond)

	for _, h := range began {
		a := h.finish(t)
		require.Equal(t, http.StatusOK, a.code, a.body)
		require.Equal(t, `{"status":"accepted","id":"`+h.event.id+`"}`, a.body)
	}
	require.Equal(t, exitOK, g.end(t), g.lastWords())
	records := s.records(t)
	require.Len(t, records, requests)
	for _, h := range began {
		byID(t, records, h.event)
	}
}

// halfRequest is a callback whose body is not there in full.
type halfRequest struct {
	conn  net.Conn
	event sample
	rest  []byte
}

// begin posts the first half of an event of that many bytes.
func (g *gateway) begin(t *testing.T, size int) *halfRequest {
	t.Helper()
	h := &halfRequest{event: newSample("enrollment.started")}
	h.event.body = append(h.event.body, bytes.Repeat([]byte{' '}, size-len(h.event.body))...)
	body, header := seal(t, simulator.Scheme{Secret: g.stack.hook.Secret, Cipher: "none"}, h.event.body)
	raw := onTheWire(header, body)
	var err error
	h.conn, err = net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = h.conn.Close() })
	half := len(raw) - len(body)/2
	_, err = h.conn.Write(raw[:half])
	require.NoError(t, err)
	h.rest = raw[half:]
	return h
}

// onTheWire is a callback as it is sent.
func onTheWire(header http.Header, body []byte) []byte {
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "POST %s HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\n", server.Path, len(body))
	_ = header.Write(&raw) // a buffer takes everything
	return append(append(raw.Bytes(), "\r\n"...), body...)
}

func (h *halfRequest) finish(t *testing.T) answer {
	t.Helper()
	_, err := h.conn.Write(h.rest)
	require.NoError(t, err)
	require.NoError(t, h.conn.SetReadDeadline(time.Now().Add(patience)))
	response, err := http.ReadResponse(bufio.NewReader(h.conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	require.True(t, response.Close)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, h.conn.Close())
	return answer{code: response.StatusCode, body: string(body), header: response.Header}
}

// unhurried keeps events out of the spool where the machine is slow.
const unhurried = "HTTP_REQUEST_TIMEOUT=12s"

// TestStopUnderLoad stops a gateway while many post to it. What was answered
// is in Kafka, what is in Kafka was answered, and who got a connection for a
// request got an answer.
func TestStopUnderLoad(t *testing.T) {
	t.Parallel()
	for name, keepAlive := range map[string]bool{"kept connections": true, "a connection each": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const senders, before = 16, 200
			s := newStack(t)
			s.client.Transport.(*http.Transport).DisableKeepAlives = !keepAlive
			g := s.serve(t, unhurried)
			var answered sync.Map
			var count atomic.Int64
			var all sync.WaitGroup
			for range senders {
				all.Go(func() {
					for postOne(t, g, &answered) {
						if count.Add(1) == before {
							g.stop()
						}
					}
				})
			}
			all.Wait()
			require.Equal(t, exitOK, g.end(t), g.lastWords())

			var want []string
			answered.Range(func(id, _ any) bool {
				want = append(want, id.(string))
				return true
			})
			require.GreaterOrEqual(t, len(want), before)
			require.ElementsMatch(t, want, ids(s.records(t)))
		})
	}
}

// postOne posts a new event and notes it where it was accepted. It is false
// when the gateway takes no more connections. That a kept connection was closed
// before the request went out is for the HTTP client to notice; the end of one
// that carries a request is a failure.
func postOne(t *testing.T, g *gateway, answered *sync.Map) bool {
	e := newSample("authentication.completed")
	body, header, err := simulator.Scheme{Secret: g.stack.hook.Secret}.Seal(e.body)
	if err != nil {
		t.Error(err)
		return false
	}
	a, err := g.tryPost("", body, header)
	if err != nil {
		if !isRefused(err) {
			t.Errorf("a request was cut: %v", err)
		}
		return false
	}
	if a.code != http.StatusOK || a.Status != "accepted" {
		t.Errorf("answered %d %s", a.code, a.body)
	}
	answered.Store(e.id, true)
	return true
}

// TestStopAtOnce is for a signal that comes while the gateway starts.
func TestStopAtOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for range 5 {
		p := start(t, s.environ(), "serve")
		p.await(t, p.err, 1, `"msg":"listening"`)
		require.Equal(t, exitOK, p.end(t), p.lastWords())
	}
}

// TestStopBeforeServe ends the context when the listeners are there and
// nobody has accepted from them.
func TestStopBeforeServe(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	cfg, _, err := config.Load(s.environ("PROBE_ADDR=127.0.0.1:0"))
	require.NoError(t, err)
	for range 5 {
		a, err := open(t.Context(), cfg, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		l, err := listen(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		served := make(chan error, 1)
		go func() { served <- a.serve(ctx, l) }()
		select {
		case err := <-served:
			require.NoError(t, err)
		case <-time.After(patience):
			require.FailNow(t, "serve does not end")
		}
	}
}
