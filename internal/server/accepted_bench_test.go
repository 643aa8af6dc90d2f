//go:build linux

package server_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
)

// BenchmarkAnswered is an authentic request on a kept connection, all but Redis and
// Kafka: the store says at once that the event is there. Beside BenchmarkForged's
// bare exchange and BenchmarkPath it shows what the HTTP side takes.
func BenchmarkAnswered(b *testing.B) {
	s := defaults(b, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	s.Webhooks = []server.Webhook{s.hook}
	s.Dispatcher = dispatch.New(knowsAll{}, placesOnly{}, dispatch.Options{
		Routes: dispatch.NewRoutes("awareid", nil), ProduceTimeout: time.Second, Log: s.Log, Metrics: s.Metrics,
	})
	public, err := server.New(s.Options)
	require.NoError(b, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	go public.Serve(l)
	g := &gateway{address: l.Addr().String(), scheme: scheme()}
	exchange(b, g.address, g.valid(b), "HTTP/1.1 200")
}

// knowsAll is a store that has every event.
type knowsAll struct{}

func (knowsAll) Claim(_ context.Context, c event.Claim, _ event.Terms) (event.Claim, event.Verdict, error) {
	return c, event.Delivered, nil
}
func (knowsAll) Confirm(_ context.Context, done []event.Delivery) ([]bool, error) {
	return make([]bool, len(done)), nil
}
func (knowsAll) Ping(context.Context) error                    { return nil }
func (knowsAll) Release(context.Context, string, string) error { return nil }

// placesOnly is a Kafka of which nothing but a place is asked.
type placesOnly struct{ dispatch.Producer }

func (placesOnly) Place(_ context.Context, topic, _ string) (event.Place, int64, error) {
	return event.Place{Topic: topic}, 0, nil
}
