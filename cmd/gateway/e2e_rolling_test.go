package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
			replicas := []*replica{s.startReplica(t, "a"), s.startReplica(t, "b")}
			b := &balancer{stack: s, urls: []string{replicas[0].url, replicas[1].url}}
			end := b.begin(t, senders)
			defer end()
			for range rounds {
				for _, r := range replicas {
					b.awaitMore(t, 10*senders)
					r.restart(t)
				}
			}
			b.awaitMore(t, 10*senders)
			sent := end()
			for _, r := range replicas {
				r.awaitDrained(t)
			}
			t.Logf("%d events, tried again %d times after a refused connection, %d after a 503",
				b.taken.Load(), b.refused.Load(), b.unavailable.Load())
			requireInOrder(t, sent, s.records(t))
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
	}, 2*patience, 20*time.Millisecond)
}

// operations are the events that one sender posts, by their operation, each
// after the 2xx of the one before.
type operations [][]sample

// next is the last operation's next event, or begins another operation.
func (o *operations) next() sample {
	const events = 20 // of one operation
	last := len(*o) - 1
	if last < 0 || len((*o)[last]) == events {
		*o = append(*o, []sample{newSample("authentication.started")})
		return (*o)[last+1][0]
	}
	e := sampleOf("authentication.completed", (*o)[last][0].operation)
	(*o)[last] = append((*o)[last], e)
	return e
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

// begin lets so many senders post. The result ends them and tells what they sent.
func (b *balancer) begin(t *testing.T, senders int) (end func() operations) {
	var done atomic.Bool
	var all sync.WaitGroup
	sent := make([]operations, senders)
	for i := range sent {
		all.Go(func() {
			for !done.Load() && b.deliver(t, sent[i].next()) {
			}
		})
	}
	return sync.OnceValue(func() operations {
		done.Store(true)
		all.Wait()
		return slices.Concat(sent...)
	})
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
func requireInOrder(t *testing.T, sent operations, records []simulator.Record) {
	t.Helper()
	got, total := map[string][]string{}, 0
	for _, r := range records {
		got[r.Key] = append(got[r.Key], r.Header("ce_id"))
	}
	for _, events := range sent {
		var want []string
		for _, e := range events {
			want = append(want, e.id)
		}
		require.Equal(t, want, got[events[0].operation])
		total += len(want)
	}
	require.Len(t, records, total)
}
