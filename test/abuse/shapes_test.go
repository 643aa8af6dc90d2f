package main

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProgram attacks the program beside a Kafka and a Redis in this process.
func TestProgram(t *testing.T) {
	services, err := newServices(fake)
	require.NoError(t, err)
	defer services.stop()
	dir := t.TempDir()
	g, err := startGateway("", dir, services)
	require.NoError(t, err)
	defer g.kill()
	t.Run("shapes", func(t *testing.T) { shapes(t, services, g) })
	require.NoError(t, g.stop())

	g, err = startGateway(filepath.Join(dir, "gateway"), dir, services, "HTTP_RATE_PER_ADDRESS=1")
	require.NoError(t, err)
	defer g.kill()
	t.Run("a flood", func(t *testing.T) { oneFlood(t, g) })
	require.NoError(t, g.stop())

	g, err = options{gateway: filepath.Join(dir, "gateway"), tls: true, connections: defaultConnections}.start(dir, services)
	require.NoError(t, err)
	defer g.kill()
	t.Run("over TLS", func(t *testing.T) { overTLS(t, g) })
	require.NoError(t, g.stop())
}

// overTLS is a flood beside one honest second, and a word without TLS, which nobody
// answers.
func overTLS(t *testing.T, g *gateway) {
	a, err := attackNamed("forged, many addresses")
	require.NoError(t, err)
	h, err := newHonest(g, 50)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	r, attacked := newReport(a.answers), make(chan struct{})
	go func() {
		defer close(attacked)
		a.run(ctx, target{Addr: g.public, Certificate: g.certificate}, r)
	}()
	p, err := h.run(ctx, time.Second)
	cancel()
	<-attacked
	require.NoError(t, err)
	require.Zero(t, p.Lost, p.Why)
	got := r.result()
	require.Empty(t, got.Unexpected)
	require.NotZero(t, got.Answers[http.StatusUnauthorized])

	w, err := target{Addr: g.public}.dial(t.Context(), 0)
	require.NoError(t, err)
	defer w.Close()
	require.Equal(t, none, w.exchange([]byte(headOfLength(0))).status)
}

// shapes is a pass of everything whose answer is known.
func shapes(t *testing.T, services *services, g *gateway) {
	books := newBooks()
	for _, a := range shapeAttacks() {
		r := newReport(a.answers)
		a.run(t.Context(), target{Addr: g.public, Secret: g.secret}, r)
		got := r.result()
		require.Empty(t, got.Unexpected, a.name)
		require.GreaterOrEqual(t, got.requests(), a.atLeast.Requests, a.name)
		books.enter(got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	records, err := readRecords(ctx, services.brokers, g.topics())
	require.NoError(t, err)
	audit := books.audit(records)
	require.Empty(t, audit.broken())
	require.Equal(t, audit.Events, audit.Records)
	require.NotZero(t, audit.Quarantined)
	o, err := g.observe()
	require.NoError(t, err)
	require.Zero(t, o.internal)
	require.Zero(t, o.failures)
}

// oneFlood is held back, and the report says which answers were not foreseen.
func oneFlood(t *testing.T, g *gateway) {
	require.NoError(t, resetPeak(g.cmd.Process.Pid))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	r := newReport([]int{http.StatusUnauthorized})
	forged(1400, 1)(ctx, target{Addr: g.public}, r)
	got := r.result()
	require.NotZero(t, got.Answers[http.StatusUnauthorized])
	require.NotZero(t, got.Answers[http.StatusTooManyRequests])
	// Who is held back has to connect anew, which the cap for an address may refuse.
	require.Equal(t, got.Answers[http.StatusTooManyRequests]+got.Answers[none], got.Surprises)
	memory, err := peakMemory(g.cmd.Process.Pid)
	require.NoError(t, err)
	require.Greater(t, memory, int64(8<<20))
}

func TestSuiteDocuments(t *testing.T) {
	documents, err := suiteDocuments()
	require.NoError(t, err)
	counts := map[string]int{}
	names := map[string]bool{}
	for _, d := range documents {
		counts[d.name[:2]]++
		names[d.name] = true
	}
	require.Equal(t, map[string]int{"y_": 95, "n_": 188, "i_": 35}, counts)
	for _, name := range strings.Fields(suiteUndecided) {
		require.True(t, names[name], name)
		require.True(t, strings.HasPrefix(name, "i_"), name)
	}
}

// TestAttacks have names of their own and say what they imitate.
func TestAttacks(t *testing.T) {
	names := map[string]bool{}
	for _, a := range attacks() {
		require.NotEmpty(t, a.imitates, a.name)
		require.NotZero(t, a.atLeast, a.name)
		require.False(t, names[a.name], a.name)
		names[a.name] = true
		found, err := attackNamed(a.name)
		require.NoError(t, err)
		require.Equal(t, a.name, found.name)
	}
	_, err := attackNamed("none")
	require.Error(t, err)
}
