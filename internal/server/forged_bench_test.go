//go:build linux

package server_test

import (
	"bufio"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"awareid-gateway/internal/server"
)

// BenchmarkForged compares a forged request on a kept connection with the same
// exchange with a server of the same time-outs that reads the body and answers
// 401 whatever it is.
func BenchmarkForged(b *testing.B) {
	b.Run("bare", func(b *testing.B) {
		s := &fasthttp.Server{Handler: func(ctx *fasthttp.RequestCtx) {
			_ = ctx.PostBody()
			ctx.SetStatusCode(401)
			ctx.SetContentType("application/problem+json")
			ctx.SetBodyString(`{"type":"about:blank","title":"Unauthorized","status":401}`)
		}, NoDefaultServerHeader: true, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, IdleTimeout: time.Minute}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer l.Close()
		go s.Serve(l)
		exchange(b, l.Addr().String(), forged(), "HTTP/1.1 401")
	})
	b.Run("gateway", func(b *testing.B) {
		s := defaults(b, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		s.Webhooks, s.Now = []server.Webhook{s.hook}, nil
		s.Audit = server.Audit{LinesPerSecond: 10, Address: server.AddressPlain}
		public, err := server.New(s.Options)
		require.NoError(b, err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(b, err)
		defer l.Close()
		go public.Serve(l)
		g := &gateway{address: l.Addr().String(), scheme: scheme()}
		learn(b, g)
		exchange(b, g.address, forged(), "HTTP/1.1 401")
	})
}

// learn lets the gateway see how the platform signs, as one in use has, from another
// address than the forger's, who stays a stranger. Nothing is behind it that could take
// the event.
func learn(b *testing.B, g *gateway) {
	platform := net.Dialer{LocalAddr: elsewhere}
	c, err := platform.Dial("tcp", g.address)
	require.NoError(b, err)
	defer c.Close()
	_, err = c.Write([]byte(g.valid(b)))
	require.NoError(b, err)
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(b, err)
	require.Equal(b, 500, answer.StatusCode)
	require.NoError(b, answer.Body.Close())
}

// exchange sends a request over TCP again and again, each behind the other's answer.
func exchange(b *testing.B, address, request, want string) {
	c, err := net.Dial("tcp", address)
	require.NoError(b, err)
	defer c.Close()
	raw, answer := []byte(request), make([]byte, 4096)
	b.ReportAllocs()
	began := processorTime(b)
	for b.Loop() {
		if _, err := c.Write(raw); err != nil {
			b.Fatal(err)
		}
		n, err := c.Read(answer)
		if err != nil || !strings.HasPrefix(string(answer[:n]), want) {
			b.Fatal(err, string(answer[:n]))
		}
	}
	b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used, which neighbours on the machine
// do not change as they change the time that passes.
func processorTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
