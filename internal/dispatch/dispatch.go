// Package dispatch takes an authentic event on its journey: claim it in the
// store, produce it to Kafka, confirm it in the store.
//
// # The guarantee
//
// An event for which Dispatch returned Accepted or Duplicate is in its topic,
// acknowledged by all in-sync replicas (acks=all). It is there once: an attempt
// produces only while it holds the claim on the event's id, and the claim's
// record, which outlives the attempt, names the partition and an offset that
// the record cannot precede. Whoever finds a claim whose owner went silent
// inherits it, reads that partition back from that offset, and produces only
// what it does not find.
//
// # Why that is safe
//
// An owner starts no request to Kafka after its deadline, which is the produce
// time-out after the claim and lies before the lease's end, and cuts the
// connection there: what the system still holds of a request is not sent. A
// successor gets the claim no sooner than the lease plus another produce
// time-out after it was made, so it reads after the last write.
// Within an attempt a batch is resent unchanged under a producer id and
// sequence (KIP-98), so the broker stores it once however often it arrives.
// Reading back goes to the end of the leader's log and waits until all in-sync
// replicas have it: what timed out for want of replicas may yet come to stay. A
// claim is given back only when its owner's attempt certainly stored nothing;
// an unknown outcome stays claimed, and an inherited claim that is given back
// keeps its record, for the first owner's outcome is still to be found out.
//
// # One event under two ids
//
// What is fetched from the platform later may carry another id than its callback
// did. Webhook, type and transaction number are therefore an alias, which belongs
// to the first id that is claimed with it, for as long as a claim is remembered,
// and is never given up. An attempt produces only while it holds the claim on its
// event's own id and, where the alias belongs to another id and one of the two was
// fetched, the claim on that one too. So what is fetched and what is called back
// under one number meet at one claim, and all that is said above of an id holds of
// a number: the alias need not change hands for that, nor be asked in one step with
// a claim. Two callbacks are two events whatever their numbers, as far as nothing
// was fetched under those.
//
//   - Claim and alias are asked side by side, maybe of two servers. Whichever is
//     first, an attempt knows both before it produces; if one fails, it does not
//     produce. What a crash leaves is an alias whose first id has no claim, which
//     the next id then claims, or a claim of an attempt that never wrote.
//   - A lost reply does no harm: an alias is given to an id, not to an attempt, and
//     a repetition is told the same.
//   - Two ids in flight at once: one of them has the alias, whatever the order of
//     their claims, and the other waits for the claim on that id. It holds its own
//     meanwhile, so the own id too is produced by nobody else.
//   - A claim that is given back after a definite refusal leaves the alias. Who
//     takes over under another id needs the same claim as the first id's retry.
//   - A record may lie under the first id's claim with another id in it. So heirs
//     look for the event's number, which its records have in a header, as well as
//     for both ids.
//   - Delivered is what either claim says, and both are told.
//
// This is so for events with a number, where Options.Numbers is set. Records of
// a version that wrote no number are known by their id alone.
//
// # The spool
//
// A callback that cannot be settled now goes to the local spool, and is delivered from
// there by the same claim and produce, in order of its operation: as long as an
// event of an operation waits in a spool, on whichever replica, its later
// events wait behind it. A spooled event whose first attempt left a doubt is
// read back before it is produced, even where the store forgot the claim.
//
// What is fetched or replayed is at hand where it came from, and comes again. It
// is never spooled, nor produced unchecked: where it cannot be settled now, for
// want of its turn too, Dispatch returns the error. So it takes no room from
// callbacks and holds none of them up, and a hole in the numbers stays one until
// Kafka has its event.
//
// # Order over replicas
//
// Each replica tells the store of what it spools, before it answers, and takes
// its turn there. One that cannot reach the store answers only when its lease in
// the store's roster is over; the others then deliver nothing until it is back,
// with everything published, or has stayed away for 30 s.
//
// # A store that loses its memory
//
// It begins a new one, and says so with each claim. Nothing is produced until
// the attempts under lost claims are over, and the latest claims are restored
// from Kafka. An event older than what is restored is looked for by itself.
// Every replica tells the store again of what it has spooled. Aliases are lost and
// restored with the claims: a record's headers name both. One that a new memory
// gave to another id meanwhile is taken from it, before anything is produced.
//
// # Older than the store's memory
//
// A replayed or backfilled event that is so old that its claim may be forgotten
// is looked for in Kafka before it is claimed, from the time of its creation on.
//
// # Privacy
//
// Options.Privacy is applied first of all, to what is called back, fetched and
// replayed, so that no claim, queue, spool or record holds what it takes away. What a
// spool holds from before the rules changed is delivered as it lies.
//
// # Not covered
//
// A record that such a search cannot see: retention deleted it, or it lies where
// the event went under other routes or another number of partitions.
// A process that is suspended between its last look at the deadline and its
// write, for longer than the lease. A store that forgets without losing its mark,
// by eviction for one. Order, where a replica is cut off from the store alone for
// longer than 30 s, or has been from its first start, on a new spool.
//
// # Order
//
// The events of one operation go to one partition of a topic. One that is sent
// after the answer to the one before it is behind it.
package dispatch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/privacy"
	"awareid-gateway/internal/spool"
)

// Why an event could not be settled now. With all of them it may be sent
// again: nothing is lost and nothing will be there twice.
var (
	// ErrStore: the store did not answer; nothing was produced.
	ErrStore = errors.New("store unavailable")
	// ErrInFlight: another attempt at the same event did not end in time.
	ErrInFlight = errors.New("the same event is in flight elsewhere")
	// ErrNotStored: Kafka did not take the record, and certainly does not have it.
	ErrNotStored = errors.New("not stored by Kafka")
	// ErrUnknown: Kafka may or may not have the record.
	ErrUnknown = errors.New("outcome unknown")
	// ErrRefused: the broker refused the record itself, as too large or
	// invalid. It is certainly not stored, and sending it again will not help.
	ErrRefused = errors.New("refused by Kafka")
)

// Store remembers claims. Its errors all mean the same: it did not answer.
type Store interface {
	Claim(ctx context.Context, c event.Claim, terms event.Terms) (event.Claim, event.Verdict, error)
	Confirm(ctx context.Context, done []event.Delivery) ([]bool, error)
	Ping(ctx context.Context) error
	Release(ctx context.Context, key, token string) error
}

// Producer writes to Kafka.
type Producer interface {
	// Place names the partition for a key, and an offset that a record
	// produced from now on cannot precede.
	Place(ctx context.Context, topic, key string) (event.Place, int64, error)
	// Failing says that a partition takes no records at the moment, as far as
	// the last attempts there tell.
	Failing(at event.Place) bool
	// Append hands over a record. It calls done once, from another goroutine
	// and soon after the deadline at the latest, with the record's offset or
	// an error that is ErrNotStored, ErrUnknown or ErrRefused. Until then the
	// record's memory is the producer's.
	Append(at event.Place, r Record, deadline time.Time, done func(offset int64, err error))
	// Find looks for a record with all of the given headers, from an offset to
	// what is the partition's end at the time of the call.
	Find(ctx context.Context, at event.Place, from int64, headers []event.Header) (offset int64, found bool, err error)
	// FindSince does the same from a time on, by the records' own times.
	FindSince(ctx context.Context, at event.Place, since time.Time, headers []event.Header) (offset int64, found bool, err error)
}

// Record is what goes into a Kafka partition.
type Record struct {
	Key     string
	Value   []byte
	Headers []event.Header
}

// Origin says by which way an event came.
type Origin string

// The origins.
const (
	Callback Origin = "callback"
	Backfill Origin = "backfill"
	Replay   Origin = "replay"
)

// bytes are shared by all records, and never written to.
func (o Origin) bytes() []byte {
	switch o {
	case Callback:
		return callbackBytes
	case Backfill:
		return backfillBytes
	}
	return []byte(o)
}

var callbackBytes, backfillBytes = []byte(Callback), []byte(Backfill)

// Outcome says what became of an event.
type Outcome string

// The outcomes.
const (
	Accepted    Outcome = "accepted"    // Kafka has it, by this attempt
	Duplicate   Outcome = "duplicate"   // Kafka had it before
	Spooled     Outcome = "spooled"     // it is on disk here, and will be delivered: a callback alone
	Quarantined Outcome = "quarantined" // the quarantine topic has it
)

// Inbound is an authentic event on its way in.
type Inbound struct {
	Event       event.Event
	WebhookID   string
	Origin      Origin
	ReceivedAt  time.Time
	Traceparent string       // W3C trace context, or ""
	Redacted    privacy.Done // what had been done to the payload before it came here
	// Release is called once, when nothing reads the event's payload any more.
	// That can be after Dispatch returned. It may be nil.
	Release func()
}

// Options of a Dispatcher.
type Options struct {
	Routes         Routes
	Sealer         *Sealer
	Privacy        *privacy.Rules // nil: events stay as they came
	Terms          event.Terms
	ProduceTimeout time.Duration // less than half of the lease
	Replica        string
	Spool          *spool.Log // for callbacks; nil: what cannot be settled now is an error
	Queues         Queues     // nil: this is the only replica
	Roster         Roster     // of the replicas with a spool; nil: this is the only one
	Memory         Memory     // nil: the store forgets nothing
	History        History    // to restore the store's memory from
	Numbers        Numbers    // nil: no transaction number is tracked, and none guards against a second id
	OnOutage       OnOutage   // of the store, for callbacks: what is fetched or replayed is an error then
	Log            *slog.Logger
	Metrics        prometheus.Registerer
	Now            func() time.Time // nil: time.Now
}

// OnOutage says what becomes of callbacks while the store is away.
type OnOutage int

// The choices.
const (
	SpoolOnOutage  OnOutage = iota // spool them, if there is a spool
	AcceptOnOutage                 // produce them unchecked; repeats may pass
	RejectOnOutage                 // refuse them
)

// Dispatcher is safe for concurrent use.
type Dispatcher struct {
	store    Store
	producer Producer
	opts     Options
	confirms *confirmer
	numbers  *seer
	outage   *outage
	spooler  *spooler    // nil without a spool
	others   *attendance // nil without a roster
	memory   *memory     // nil for a store that forgets nothing
	restore  *restore
	metrics  metrics

	instance string // makes tokens unique among all processes
	attempts atomic.Uint64
	pending  sync.WaitGroup // records handed to the producer, claims to give back
}

// New returns a Dispatcher at work. Close ends it.
func New(store Store, producer Producer, opts Options) *Dispatcher {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	var id [12]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	m := newMetrics(opts.Metrics)
	d := &Dispatcher{
		store: store, producer: producer, opts: opts, metrics: m,
		instance: hex.EncodeToString(id[:]),
		confirms: newConfirmer(store, opts.Log, m),
		numbers:  newSeer(opts.Numbers, opts.Log, m),
		outage:   newOutage(store.Ping, opts.Log),
	}
	d.watchMemory()
	if opts.Spool != nil {
		observeSpool(opts.Metrics, opts.Spool)
		d.spooler = newSpooler(opts.Spool, opts.Queues, d.outage, opts.Log, d.drainOne)
		d.outage.back = d.catchUp
		d.attend()
		d.spooler.others, d.spooler.memory = d.others, d.memory
		d.spooler.start()
	}
	if d.memory != nil {
		d.restore.start()
	}
	return d
}

// watchMemory gets ready for a store that loses its memory.
func (d *Dispatcher) watchMemory() {
	if d.opts.Memory == nil {
		return
	}
	d.memory = newMemory(d.opts.Memory, d.opts.Now)
	d.restore = &restore{
		memory: d.memory, history: d.opts.History, claims: d.store, who: d.instance,
		terms: d.opts.Terms, over: d.opts.ProduceTimeout + d.opts.Terms.TakeoverWait,
		now: d.opts.Now, failed: d.storeFailed, log: d.opts.Log, restored: d.metrics.restored, aliases: d.opts.Numbers != nil, wake: make(chan struct{}, 1), looked: make(chan struct{}),
	}
	d.memory.lost = d.memoryLost
}

// memoryLost has everything told again to a store that has forgotten it.
func (d *Dispatcher) memoryLost() {
	d.metrics.memories.Inc()
	if d.spooler != nil {
		d.spooler.republish()
	}
	if d.others != nil {
		d.others.forgotten()
	}
	select {
	case d.restore.wake <- struct{}{}:
	default:
	}
}

// attend lets the other replicas know of this one.
func (d *Dispatcher) attend() {
	if d.opts.Roster == nil {
		return
	}
	log := d.opts.Spool
	d.others = newAttendance(d.opts.Roster, log.ID(), log, boundBy(log), d.opts.Log)
	d.others.prepare, d.others.promise, d.others.failed = d.catchUp, d.spooler.promise, d.storeFailed
	d.others.start()
}

// AwaitMemory returns when the store, where it has lost its memory, has been
// told of late events by Kafka: until then events cannot be dispatched. It
// returns the context's error otherwise.
func (d *Dispatcher) AwaitMemory(ctx context.Context) error {
	if d.memory == nil {
		return nil
	}
	return d.memory.awaitSettled(ctx)
}

// catchUp tells the store what it has missed.
func (d *Dispatcher) catchUp(ctx context.Context) error {
	if d.memory != nil {
		if err := d.memory.learn(ctx); err != nil {
			return err
		}
	}
	return d.spooler.publishAll(ctx)
}

// storeFailed notes an error of the store, unless it comes of our own end.
func (d *Dispatcher) storeFailed(ctx context.Context, err error) {
	if !errors.Is(ctx.Err(), context.Canceled) {
		d.outage.storeFailed(err)
	}
}

// Close waits until every record that was handed to Kafka has its outcome and
// the store knows of it, or until the context ends. What the store is not told by
// then is settled by whoever meets the event next; the error says so. For the
// store to learn of all numbers it waits a little only.
func (d *Dispatcher) Close(ctx context.Context) error {
	if d.spooler != nil {
		d.spooler.close()
	}
	if d.others != nil {
		d.others.close(ctx)
	}
	d.outage.close()
	if d.restore != nil {
		d.restore.close()
	}
	settled := make(chan struct{})
	go func() {
		d.pending.Wait()
		close(settled)
	}()
	var err error
	select {
	case <-settled:
	case <-ctx.Done():
		err = fmt.Errorf("wait for Kafka's answers: %w", ctx.Err())
	}
	d.numbers.close(ctx)
	return errors.Join(err, d.confirms.close(ctx))
}

// Dispatch brings an event into its topic, unless it is there. It returns when
// Kafka has acknowledged it or when the context ends, whichever is first; the
// attempt itself goes on until the produce time-out. A callback that cannot be
// settled by then is Spooled, where there is a spool with room; what is fetched or
// replayed is an error. A record that the broker
// refuses goes to quarantine. The errors are ErrStore, ErrInFlight,
// ErrNotStored and ErrUnknown, and ErrRefused where the broker refuses the
// quarantine record too. It must not be called once Close was.
func (d *Dispatcher) Dispatch(ctx context.Context, in Inbound) (Outcome, error) {
	memory := newHold(in.Release)
	defer memory.release()
	var err error
	if in.Event, in.Redacted, err = d.opts.Privacy.Event(in.Event, in.Redacted); err != nil {
		return "", fmt.Errorf("%w: redact: %w", ErrNotStored, err)
	}
	dl := &delivery{
		origin:   in.Origin,
		claimKey: in.Event.ClaimKey(in.WebhookID),
		topic:    d.opts.Routes.Topic(in.Event),
		record:   in.record(),
		queue:    in.Event.QueueKey(in.WebhookID),
		webhook:  in.WebhookID,
		received: in.ReceivedAt,
		created:  in.Event.Created,
		memory:   memory,
		since:    d.readBackFrom(in),
		number:   d.numberOf(in),
	}
	outcome, err := d.deliverOrSpool(ctx, dl)
	if errors.Is(err, ErrRefused) {
		outcome, err = Quarantined, d.quarantineRefused(ctx, dl)
	}
	if err != nil {
		return "", err
	}
	d.numbers.see(dl, outcome)
	return outcome, nil
}

// quarantineRefused keeps a record that the broker would not take.
func (d *Dispatcher) quarantineRefused(ctx context.Context, dl *delivery) error {
	dl.memory.retain()
	return d.Quarantine(ctx, Suspect{
		Body: dl.record.Value, WebhookID: dl.webhook, Reason: ReasonRefused,
		ReceivedAt: dl.received, Release: dl.memory.release, origin: dl.origin,
		Plaintext: dl.record.Value, Redacted: privacy.Done(headerOf(dl.record.Headers, headerPrivacy)),
	})
}

// headerOrigin tells subscribers, and whoever restores the store's memory, how an
// event came. headerPrivacy tells what was taken out of it, where anything was.
const (
	headerOrigin  = "gateway-origin"
	headerPrivacy = "gateway-privacy"
)

func (in Inbound) record() Record {
	h := append(in.Event.Headers(in.WebhookID),
		event.Header{Key: headerOrigin, Value: in.Origin.bytes()},
		event.Header{Key: "gateway-received-at", Value: timestamp(in.ReceivedAt)},
	)
	if in.Redacted != "" {
		h = append(h, event.Header{Key: headerPrivacy, Value: []byte(in.Redacted)})
	}
	if in.Traceparent != "" {
		h = append(h, event.Header{Key: "traceparent", Value: []byte(in.Traceparent)})
	}
	return Record{Key: in.Event.PartitionKey(), Value: in.Event.Payload, Headers: h}
}

func timestamp(t time.Time) []byte {
	return t.UTC().AppendFormat(make([]byte, 0, len(time.RFC3339Nano)), time.RFC3339Nano)
}
