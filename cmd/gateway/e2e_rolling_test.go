package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// TestRollingRestart restarts two replicas in turn, twice, behind senders that
// spread their requests over both. They see no failure: each request gets an
// answer, each event its 2xx, and each is in Kafka once and in order.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	for name, keepAlive := range map[string]bool{"kept connections": true, "a connection each": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const senders, rounds = 32, 2
			s := newStack(t)
			s.client.Transport.(*http.Transport).DisableKeepAlives = !keepAlive
			b := &balancer{stack: s}
			replicas := []*replica{s.startReplica(t, "a"), s.startReplica(t, "b")}
			for _, r := range replicas {
				b.urls = append(b.urls, r.url)
			}
			var done atomic.Bool
			var all sync.WaitGroup
			operations := make([]operation, senders)
			for i := range operations {
				operations[i].token = uuid.NewString()
				all.Go(func() {
					for !done.Load() && b.deliver(t, operations[i].next()) {
					}
				})
			}
			for range rounds {
				for _, r := range replicas {
					b.awaitMore(t, 10*senders)
					r.restart(t)
				}
			}
			b.awaitMore(t, 10*senders)
			done.Store(true)
			all.Wait()
			for _, r := range replicas {
				r.awaitDrained(t)
			}
			t.Logf("%d events, tried again %d times after a refused connection, %d after a 503",
				b.taken.Load(), b.refused.Load(), b.unavailable.Load())
			requireInOrder(t, operations, s.records(t))
		})
	}
}

// replica is a gateway in a process of its own, which keeps its spool and its
// address when it is restarted.
type replica struct {
	*gateway
	environ []string
}

func (s *stack) startReplica(t *testing.T, name string) *replica {
	t.Helper()
	environ := s.environ("REPLICA_ID="+name, "SPOOL_DIR="+filepath.Join(s.spools, name))
	r := &replica{gateway: s.ready(t, startProcess(t, environ))}
	r.environ = append(environ, "HTTP_ADDR="+strings.TrimPrefix(r.url, "http://"))
	return r
}

// restart ends the process with SIGTERM and starts it anew, until it is ready.
func (r *replica) restart(t *testing.T) {
	t.Helper()
	began := time.Now()
	require.Equal(t, exitOK, r.end(t), r.lastWords())
	ended := time.Now()
	r.gateway = r.stack.ready(t, startProcess(t, r.environ))
	t.Logf("stopped in %v, ready in %v", ended.Sub(began).Round(time.Millisecond), time.Since(ended).Round(time.Millisecond))
}

func (r *replica) awaitDrained(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		return strings.Contains(r.get("/metrics").body, "\ngateway_spool_entries 0\n")
	}, patience, 20*time.Millisecond)
}

// operation is the events that one sender posts, one after the other's 2xx.
type operation struct {
	token  string
	events []sample
}

func (o *operation) next() sample {
	o.events = append(o.events, sampleOf("authentication.completed", o.token))
	return o.events[len(o.events)-1]
}

// balancer posts to any of several replicas. Like a load balancer it tries
// again where no connection is to be had, and after a 503. That a kept
// connection was closed before a request went out is for the HTTP client to
// mend. Anything else is a failure.
type balancer struct {
	stack *stack
	urls  []string

	taken, refused, unavailable atomic.Int64
}

// deliver posts an event until it has its 2xx. It is false after a failure.
func (b *balancer) deliver(t *testing.T, e sample) bool {
	for {
		a, err := b.post(e)
		switch {
		case isRefused(err):
			b.refused.Add(1)
		case err != nil:
			t.Errorf("a request was cut: %v", err)
			return false
		case a.code == http.StatusServiceUnavailable:
			b.unavailable.Add(1)
		case (a.code == http.StatusOK || a.code == http.StatusAccepted) && a.ID == e.id:
			b.taken.Add(1)
			return true
		default:
			t.Errorf("answered %d %s", a.code, a.body)
			return false
		}
	}
}

func (b *balancer) post(e sample) (answer, error) {
	body, header, err := simulator.Scheme{Secret: b.stack.hook.Secret}.Seal(e.body)
	if err != nil {
		return answer{}, err
	}
	request, err := http.NewRequest(http.MethodPost, b.urls[rand.IntN(len(b.urls))]+server.Path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	request.Header = header
	return b.stack.do(request)
}

// awaitMore waits until so many more events were taken.
func (b *balancer) awaitMore(t *testing.T, n int64) {
	t.Helper()
	until := b.taken.Load() + n
	require.Eventually(t, func() bool { return b.taken.Load() >= until || t.Failed() }, patience, 5*time.Millisecond)
}

// isRefused tells that a request was not sent for want of a connection.
func isRefused(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// requireInOrder wants the events of these operations to be all that is there,
// each once, and those of an operation as they were sent.
func requireInOrder(t *testing.T, operations []operation, records []simulator.Record) {
	t.Helper()
	got, total := map[string][]string{}, 0
	for _, r := range records {
		got[r.Key] = append(got[r.Key], r.Header("ce_id"))
	}
	for _, o := range operations {
		var want []string
		for _, e := range o.events {
			want = append(want, e.id)
		}
		require.Equal(t, want, got[o.token])
		total += len(want)
	}
	require.Len(t, records, total)
}
