package dispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/spool"
	"awareid-gateway/internal/store"
)

// world is what the replicas of these tests share: a Kafka whose partitions can
// be made to refuse, and a Redis that can be stopped.
type world struct {
	cluster *kfake.Cluster
	redis   *miniredis.Miniredis
	refuse  atomic.Bool
	forGood atomic.Bool // and refuses for good
	away    bool        // the redis, for replicas that start
}

func newWorld(t *testing.T) *world {
	w := &world{cluster: newBroker(t), redis: miniredis.RunT(t)}
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		switch {
		case w.refuse.Load() && w.forGood.Load():
			return produceAnswer(req, kerr.MessageTooLarge.Code), nil, true
		case w.refuse.Load():
			return produceAnswer(req, kerr.NotEnoughReplicas.Code), nil, true
		}
		return nil, nil, false
	})
	return w
}

// replica is a gateway's dispatcher with a spool of its own.
type replica struct {
	dispatcher
	spool *spool.Log
	store *store.Redis
	wire  *wire  // between the replica and its store
	dir   string // of its spool
}

func (w *world) replica(t *testing.T, dir string, change ...func(*dispatch.Options)) replica {
	log, err := spool.Open(dir, spool.Options{MaxBytes: 1 << 20, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	way := newWire(t, w.redis.Addr())
	way.set(w.away)
	redis, err := store.OpenRedis("redis://"+way.Addr().String(), "awareid")
	require.NoError(t, err)
	producer := newProducer(t, w.cluster, 2)
	d := newDispatcher(t, redis, producer, append([]func(*dispatch.Options){func(o *dispatch.Options) {
		o.Spool, o.Queues, o.Roster, o.Memory, o.History = log, redis, redis, redis, producer
		o.ProduceTimeout = time.Second
		// On a busy machine an outcome can stay unknown: the next attempt is then
		// a lease and a wait away.
		o.Terms.Lease, o.Terms.TakeoverWait = 3*time.Second, time.Second
	}}, change...)...)
	r := replica{dispatcher: d, spool: log, store: redis, wire: way, dir: dir}
	t.Cleanup(func() { r.stop(t) })
	return r
}

// stop ends the replica as its process would; it may be called repeatedly.
func (r replica) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	_ = r.Close(ctx) // a store that is away cannot be told
	require.NoError(t, r.spool.Close())
	_ = r.store.Close()
}

// post dispatches with the time that a request has.
func (r replica) post(t *testing.T, in dispatch.Inbound) dispatch.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	outcome, err := r.Dispatch(ctx, in)
	require.NoError(t, err)
	return outcome
}

func (r replica) drained(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return r.spool.Pending() == 0 }, time.Minute, 10*time.Millisecond)
}

// of is an event of an operation.
func of(operation, id string) dispatch.Inbound {
	in := inbound(id)
	in.Event.OperationToken = operation
	in.ReceivedAt = time.Now()
	in.Event.Created = in.ReceivedAt
	return in
}

// ids reads the event ids of a topic, in order of partition and offset.
func (w *world) ids(t *testing.T, want int) []string {
	t.Helper()
	var ids []string
	for _, r := range consume(t, w.cluster, want) {
		ids = append(ids, header(r, "ce_id"))
	}
	return ids
}

func header(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestKafkaAwaySpoolsAndDrainsInOrder(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, r.post(t, of("op", "0")))
	w.refuse.Store(true)
	for i := 1; i <= 5; i++ {
		require.Equal(t, dispatch.Spooled, r.post(t, of("op", fmt.Sprint(i))))
	}
	require.Equal(t, dispatch.Duplicate, r.post(t, of("another", "0")), "what Kafka has needs no Kafka")
	w.refuse.Store(false)
	r.drained(t)
	require.Equal(t, dispatch.Accepted, r.post(t, of("op", "6")))
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6"}, w.ids(t, 7))
	require.Equal(t, 7, stored(w.cluster, topic))
	require.Equal(t, dispatch.Duplicate, r.post(t, of("op", "3")))
}

// The order of a replica's own events is that of its spool, whatever the times
// of their tickets: requests can reach the disk in another order than they came.
func TestTicketsOfOneReplicaDoNotHoldEachOtherUp(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir())
	w.refuse.Store(true)
	first, second := of("op", "1"), of("op", "2")
	second.ReceivedAt = first.ReceivedAt.Add(-time.Hour)
	require.Equal(t, dispatch.Spooled, r.post(t, first))
	require.Equal(t, dispatch.Spooled, r.post(t, second))
	w.refuse.Store(false)
	r.drained(t)
	require.Equal(t, []string{"1", "2"}, w.ids(t, 2))
	require.Equal(t, dispatch.Accepted, r.post(t, of("op", "3")), "no ticket is left behind")
}

func TestLaterEventsWaitBehindAnotherReplicasSpool(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	a, b := w.replica(t, dir), w.replica(t, t.TempDir())
	w.refuse.Store(true)
	require.Equal(t, dispatch.Spooled, a.post(t, of("op", "1")))
	a.stop(t)
	w.refuse.Store(false)
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "2")), "a holds an earlier event")
	require.Equal(t, dispatch.Accepted, b.post(t, of("free", "3")))
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "4")))
	require.Equal(t, 2, b.spool.Pending())

	a = w.replica(t, dir)
	a.drained(t)
	b.drained(t)
	require.Equal(t, dispatch.Accepted, b.post(t, of("op", "5")))
	require.Equal(t, []string{"1", "2", "4", "5"}, slices.DeleteFunc(w.ids(t, 5), func(id string) bool { return id == "3" }))
}

func TestARestartDrainsWhatIsLeft(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	before := w.replica(t, dir)
	w.refuse.Store(true)
	for i := range 3 {
		require.Equal(t, dispatch.Spooled, before.post(t, of("op", fmt.Sprint(i))))
	}
	before.stop(t)
	w.refuse.Store(false)
	after := w.replica(t, dir)
	after.drained(t)
	require.Equal(t, []string{"0", "1", "2"}, w.ids(t, 3))
	require.Equal(t, 3, stored(w.cluster, topic))
}

func TestRedisAwaySpoolsAndDrains(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, r.post(t, of("op", "0")))
	w.redis.Close()
	require.Equal(t, dispatch.Spooled, r.post(t, of("op", "1")))
	require.Equal(t, dispatch.Spooled, r.post(t, of("op", "2")))
	require.Equal(t, 1, stored(w.cluster, topic), "without the store nothing is produced")
	require.NoError(t, w.redis.Restart())
	r.drained(t)
	require.Equal(t, []string{"0", "1", "2"}, w.ids(t, 3))
	require.Equal(t, 3, stored(w.cluster, topic))
}

func TestOnOutage(t *testing.T) {
	w := newWorld(t)
	accepting := w.replica(t, t.TempDir(), func(o *dispatch.Options) { o.OnOutage = dispatch.AcceptOnOutage })
	rejecting := w.replica(t, t.TempDir(), func(o *dispatch.Options) { o.OnOutage = dispatch.RejectOnOutage })
	require.Equal(t, dispatch.Accepted, accepting.post(t, of("op", "before")))
	require.Equal(t, dispatch.Duplicate, rejecting.post(t, of("op", "before")))
	w.redis.Close()
	require.Equal(t, dispatch.Accepted, accepting.post(t, of("op", "1")))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := rejecting.Dispatch(ctx, of("op", "2"))
	require.ErrorIs(t, err, dispatch.ErrStore)
	records := consume(t, w.cluster, 2)
	require.Empty(t, header(records[0], "gateway-dedup"))
	require.Equal(t, "unchecked", header(records[1], "gateway-dedup"))
	require.Equal(t, 1, accepting.count(t, "gateway_unchecked_total"))
	require.Zero(t, rejecting.spool.Pending())
}

func TestAFloodOfOneEventAddsNothing(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir())
	w.refuse.Store(true)
	for range 50 {
		require.Equal(t, dispatch.Spooled, r.post(t, of("op", "1")))
	}
	require.Equal(t, 1, r.spool.Pending())
	w.refuse.Store(false)
	r.drained(t)
	require.Equal(t, 1, stored(w.cluster, topic))
}

func TestAFullSpoolSaysSo(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir())
	w.refuse.Store(true)
	in := of("op", "1")
	in.Event.Payload = make([]byte, 1<<20)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := r.Dispatch(ctx, in)
	require.ErrorIs(t, err, spool.ErrFull)
}

// A record whose first attempt left a doubt is read back, even where the store
// has forgotten the claim.
func TestADoubtOutlivesTheStoresMemory(t *testing.T) {
	w := newWorld(t)
	clock := newClock()
	clock.at = time.Now()
	dir := t.TempDir()
	silent := atomic.Bool{}
	w.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if !silent.Load() {
			return nil, nil, false
		}
		return produceAnswer(req, kerr.RequestTimedOut.Code), nil, true
	})
	with := func(o *dispatch.Options) { o.Now = clock.now }
	before := w.replica(t, dir, with)
	require.Equal(t, dispatch.Accepted, before.post(t, of("op", "other")))
	silent.Store(true)
	in := of("op", "1")
	require.Equal(t, dispatch.Spooled, before.post(t, in))
	before.stop(t)

	// The answer lied by silence: the record is there.
	silent.Store(false)
	k := newProducer(t, w.cluster, 2)
	at, _, err := k.Place(t.Context(), topic, "op")
	require.NoError(t, err)
	done := make(chan error, 1)
	k.Append(at, dispatch.Record{Key: "op", Value: in.Event.Payload, Headers: in.Event.Headers(webhook)}, time.Now().Add(time.Second), func(_ int64, err error) { done <- err })
	require.NoError(t, <-done)
	w.redis.FlushAll()

	after := w.replica(t, dir, with)
	require.Never(t, func() bool { return after.spool.Pending() == 0 }, 300*time.Millisecond, 10*time.Millisecond, "the first attempt could still arrive")
	clock.pass(lease + produceTimeout + time.Second)
	after.drained(t)
	require.Equal(t, 2, stored(w.cluster, topic))
}

// A replica that cannot reach the store spools what no other knows of. It says
// so to the sender only when the others have begun to wait for it.
func TestOrderWhileOneReplicaIsCutOff(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica(t, t.TempDir()), w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, a.post(t, of("op", "0")))
	require.Equal(t, dispatch.Accepted, b.post(t, of("op", "1")))
	require.NoError(t, b.Ready(t.Context()))
	a.wire.set(true)
	require.Equal(t, dispatch.Spooled, a.post(t, of("op", "2")))
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "3")), "a may hold an earlier one")
	require.Error(t, b.Ready(t.Context()))
	require.ErrorIs(t, a.Ready(t.Context()), dispatch.ErrStore)
	require.Equal(t, dispatch.Spooled, a.post(t, of("op", "4")))
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "5")))
	require.Equal(t, 2, stored(w.cluster, topic))
	a.wire.set(false)
	a.drained(t)
	b.drained(t)
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5"}, w.ids(t, 6))
	require.Equal(t, dispatch.Accepted, b.post(t, of("op", "6")))
}

func TestAStoreThatLosesItsMemory(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica(t, t.TempDir()), w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, a.post(t, of("op", "0")))
	require.Equal(t, dispatch.Accepted, a.post(t, of("op", "1")))
	require.Equal(t, dispatch.Accepted, b.post(t, of("other", "2")))
	w.redis.FlushAll()
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "1")), "it may still be under way")
	require.Equal(t, dispatch.Spooled, a.post(t, of("op", "3")))
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "4")))
	a.drained(t)
	b.drained(t)
	require.Equal(t, 5, stored(w.cluster, topic))
	require.Equal(t, dispatch.Duplicate, a.post(t, of("other", "2")), "what was restored needs no look at Kafka")
	require.Equal(t, dispatch.Accepted, a.post(t, of("op", "5")))
	require.Equal(t, []string{"0", "1", "3", "4", "5"}, slices.DeleteFunc(w.ids(t, 6), func(id string) bool { return id == "2" }))
	require.Equal(t, 6, stored(w.cluster, topic))
}

// A repeat that was received before an event, and comes into the spool behind
// it, does not put that event ahead of what another replica holds.
func TestALateRepeatOvertakesNobody(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica(t, t.TempDir()), w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, a.post(t, of("op", "0")))
	w.refuse.Store(true)
	early := of("op", "1")
	require.Equal(t, dispatch.Spooled, a.post(t, early))
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "2")))
	early.ReceivedAt = early.ReceivedAt.Add(-time.Second) // it took its time at b
	require.Equal(t, dispatch.Spooled, b.post(t, early))
	a.stop(t)
	w.refuse.Store(false)
	require.Never(t, func() bool { return b.spool.Pending() < 2 }, time.Second, 10*time.Millisecond)
	a = w.replica(t, a.dir)
	a.drained(t)
	b.drained(t)
	require.Equal(t, []string{"0", "1", "2"}, w.ids(t, 3))
	require.Equal(t, 3, stored(w.cluster, topic))
}

// What a replica spooled in silence, and did not live to publish, is published
// by its successor on the same spool before anybody goes on.
func TestASuccessorPublishesWhatWasSpooledInSilence(t *testing.T) {
	w := newWorld(t)
	a, b := w.replica(t, t.TempDir()), w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, a.post(t, of("op", "0")))
	require.Equal(t, dispatch.Accepted, b.post(t, of("other", "x")))
	a.wire.set(true)
	require.Equal(t, dispatch.Spooled, a.post(t, of("op", "1")))
	a.stop(t)
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "2")))
	require.Equal(t, dispatch.Spooled, b.post(t, of("op", "3")))
	a = w.replica(t, a.dir)
	a.drained(t)
	b.drained(t)
	require.Equal(t, []string{"0", "1", "2", "3"}, slices.DeleteFunc(w.ids(t, 5), func(id string) bool { return id == "x" }))
}

// A replica that has left the others, and comes back where it cannot reach the
// store, answers for nothing that it cannot publish: they do not wait for it.
func TestWhoLeftAnswersForNothingInSilence(t *testing.T) {
	w := newWorld(t)
	b := w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, b.post(t, of("op", "0")))
	a := w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, a.post(t, of("op", "1")))
	a.stop(t)
	w.away = true
	a = w.replica(t, a.dir)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err := a.Dispatch(ctx, of("op", "2"))
	require.Error(t, err)
	require.Equal(t, dispatch.Accepted, b.post(t, of("op", "3")))
	a.wire.set(false)
	a.drained(t)
	require.Equal(t, []string{"0", "1", "3", "2"}, w.ids(t, 4))
}

// What neither its topic nor the quarantine topic takes stays in the spool, and
// says so once.
func TestWhatNobodyTakesIsSaidOnce(t *testing.T) {
	w := newWorld(t)
	var logged lines
	r := w.replica(t, t.TempDir(), func(o *dispatch.Options) {
		o.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelError}))
	})
	w.refuse.Store(true)
	require.Equal(t, dispatch.Spooled, r.post(t, of("op", "0")))
	w.forGood.Store(true)
	require.Eventually(t, func() bool { return logged.count() > 0 }, time.Minute, 10*time.Millisecond)
	require.Never(t, func() bool { return logged.count() > 1 || r.spool.Pending() == 0 }, time.Second, 10*time.Millisecond)
	w.refuse.Store(false)
	r.drained(t)
	require.Equal(t, []string{"0"}, w.ids(t, 1))
}

// lines counts what is written.
type lines struct{ n atomic.Int64 }

func (l *lines) Write(b []byte) (int, error) {
	l.n.Add(1)
	return len(b), nil
}

func (l *lines) count() int64 { return l.n.Load() }

// A process that died with a claim in the store's new memory leaves a doubt that
// reaches back no further than its claim: what the store has forgotten lies before.
func TestAClaimInANewMemoryHidesNothing(t *testing.T) {
	w := newWorld(t)
	r := w.replica(t, t.TempDir())
	require.Equal(t, dispatch.Accepted, r.post(t, of("op", "0")))
	require.Equal(t, dispatch.Accepted, r.post(t, of("op", "1")))
	claim := func(in dispatch.Inbound) event.Verdict {
		_, verdict, err := r.store.Claim(t.Context(), event.Claim{
			Key: in.Event.ClaimKey(webhook), Token: "dead", Replica: "dead", Place: event.Place{Topic: topic}, FromOffset: 2,
		}, event.Terms{Lease: time.Millisecond, TakeoverWait: time.Millisecond, Keep: time.Hour})
		require.NoError(t, err)
		return verdict
	}
	for _, id := range []string{"0", "1"} { // else they are confirmed in the new memory
		require.Eventually(t, func() bool { return claim(of("op", id)) == event.Delivered }, 10*time.Second, time.Millisecond)
	}
	w.redis.FlushAll()
	late := of("op", "0")
	require.Equal(t, event.Granted, claim(late))
	require.Equal(t, dispatch.Spooled, r.post(t, late))
	r.drained(t)
	require.Equal(t, 2, stored(w.cluster, topic))
}
