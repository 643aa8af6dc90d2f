package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// lossy is a platform that loses callbacks, the stack it loses them for, and the
// truth about it.
type lossy struct {
	*stack
	*awareID
	grace, interval time.Duration
	truth           []simulator.Delivery
	took            time.Duration // to send
}

func newLossy(t *testing.T) *lossy {
	l := &lossy{stack: newStack(t), awareID: newAwareID(t), grace: time.Second, interval: 2 * time.Second}
	l.awareID.environ = append(l.awareID.environ, "LOG_LEVEL=info", "BACKFILL_GRACE="+l.grace.String(), "BACKFILL_INTERVAL="+l.interval.String())
	return l
}

// events is how many a test sends: TEST_BACKFILL_EVENTS, or 2,000.
func events(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("TEST_BACKFILL_EVENTS"))
	if err != nil {
		return 2000
	}
	t.Logf("%d events", n)
	return n
}

// send posts n events to a gateway and loses one in ten. The first and the last
// event come: the first number that is seen begins what is known, and what is lost
// last shows with the next number.
func (l *lossy) send(t *testing.T, url string, n int) {
	t.Helper()
	hook := l.hook
	hook.URL, hook.Events = url+server.Path, simulator.Types()
	hook.EncryptMessageBody, hook.AddSignatureHeader = true, true
	_, err := l.platform.Register(hook)
	require.NoError(t, err)
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: 7})
	require.NoError(t, err)
	began := time.Now()
	for i, part := range []struct {
		count int
		loss  float64
	}{{1, 0}, {n - 2, 0.1}, {1, 0}} {
		sender, err := simulator.NewSender(simulator.SenderOptions{
			Platform: l.platform, WebhookID: hook.ID, Generator: generator, Count: part.count,
			Rates: simulator.Rates{Loss: part.loss, Repeat: 0.05, Reorder: 0.05}, Seed: uint64(i), Concurrency: 32,
		})
		require.NoError(t, err)
		tally, err := sender.Run(t.Context())
		require.NoError(t, err)
		require.NoError(t, tally.Check())
		l.truth = append(l.truth, sender.Deliveries()...)
	}
	l.took = time.Since(began)
	t.Logf("%d callbacks, %d of them lost, in %s", n, l.lost(), l.took.Round(time.Millisecond))
}

func (l *lossy) lost() (n int) {
	for _, d := range l.truth {
		if d.Lost {
			n++
		}
	}
	return n
}

// awaitAll waits until Kafka has as many records as there are events, by grace and
// 30 s from now at the latest, and then judges them.
func (l *lossy) awaitAll(t *testing.T) {
	t.Helper()
	began := time.Now()
	broker, _, _ := strings.Cut(l.brokers, ",")
	consumer, err := simulator.NewConsumer(broker, l.topics())
	require.NoError(t, err)
	defer consumer.Close()
	ctx, cancel := context.WithTimeout(t.Context(), l.grace+30*time.Second)
	defer cancel()
	var records []simulator.Record
	require.NoError(t, consumer.Run(ctx, func(r simulator.Record) {
		if records = append(records, r); len(records) == len(l.truth) {
			cancel()
		}
	}))
	t.Logf("all in Kafka %s after the last callback", time.Since(began).Round(time.Millisecond))
	require.NoError(t, simulator.Judge(l.truth, records))
	total, err := consumer.Total(t.Context())
	require.NoError(t, err)
	require.Equal(t, len(l.truth), total)
}

// requireFewRequests wants one for a hundred numbers, so many repeats, and on a
// machine so slow that a hundred are not missed within three intervals, one each
// time that they pass.
func (l *lossy) requireFewRequests(t *testing.T, repeats int) {
	t.Helper()
	asked, slow := l.platform.Asked(), int(l.took/(3*l.interval))
	if float64(l.lost())/100 > float64(slow) {
		slow = 0
	}
	t.Logf("%d requests for event data for %d lost events; %d repeats are allowed", asked.Requests, l.lost(), repeats)
	require.LessOrEqual(t, asked.Requests, (l.lost()+99)/100+repeats+slow)
}

// TestLostCallbacksAreFetched: with one callback in ten lost, and a platform that
// fails now and then, all events are in Kafka once.
func TestLostCallbacksAreFetched(t *testing.T) {
	t.Parallel()
	l := newLossy(t)
	g := l.serve(t, l.awareID.environ...)
	l.faults.On(simulator.DefaultEventDataPath, simulator.Refuse(http.StatusServiceUnavailable, ""), simulator.Pass, simulator.Lose)
	l.send(t, g.url, events(t))
	l.awaitAll(t)
	l.requireFewRequests(t, 1) // the answer that was lost
	require.Eventually(t, func() bool {
		return strings.Contains(g.get("/metrics").body, `gateway_backfill_numbers{kind="missing",webhook="`+l.hook.ID+`"} 0`)
	}, patience, 10*time.Millisecond)
	require.Contains(t, g.get("/metrics").body, "\ngateway_backfill_leader 1\n")
}

// TestLeaderDiesDuringABackfill: the other replica ends what the one that was
// killed had begun. They have no spools: with one, everything waits in it for as
// long as a replica that is gone may have events of the same operations.
func TestLeaderDiesDuringABackfill(t *testing.T) {
	t.Parallel()
	l := newLossy(t)
	asked, gone := make(chan struct{}), make(chan struct{})
	first := sync.OnceFunc(func() { close(asked) })
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == simulator.DefaultEventDataPath {
			first()
			<-gone
		}
		l.faults.ServeHTTP(w, r)
	}))
	defer front.Close()
	environ := append(l.awareID.environ, "AWAREID_BASE_URL="+front.URL, "SPOOL_DIR=none")
	process := startProcess(t, l.stack.environ(append(environ, "REPLICA_ID=a")...), "serve")
	leader := &gateway{program: process, stack: l.stack, admin: "http://" + process.await(t, process.err, 1, `"listener":"admin","address":"([^"]+)"`)[1]}
	require.Eventually(t, func() bool {
		return strings.Contains(leader.get("/metrics").body, "\ngateway_backfill_leader 1\n")
	}, patience, 10*time.Millisecond)
	survivor := l.serve(t, append(environ, "REPLICA_ID=b")...)
	go func() { // in the middle of its first batch, and of the callbacks
		<-asked
		leader.kill()
		<-leader.ended
		close(gone)
	}()
	l.send(t, survivor.url, events(t))
	l.awaitAll(t)
	l.requireFewRequests(t, 1) // the one in whose middle the leader died
	require.Contains(t, survivor.get("/metrics").body, "\ngateway_backfill_leader 1\n")
}
