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
// A claim is given back only when Kafka certainly does not have the record; an
// unknown outcome stays claimed.
//
// # The spool
//
// What cannot be settled now goes to the local spool, and is delivered from
// there by the same claim and produce, in order of its operation: as long as an
// event of an operation waits in a spool, on whichever replica, its later
// events wait behind it. A spooled event whose first attempt left a doubt is
// read back before it is produced, even where the store forgot the claim.
//
// # Older than the store's memory
//
// A replayed or backfilled event that is so old that its claim may be forgotten
// is looked for in Kafka before it is claimed, from the time of its creation on.
//
// # Not covered
//
// A record that such a search cannot see: retention deleted it, or it lies where
// the event went under other routes or another number of partitions.
// A process that is suspended between its last look at the deadline and its
// write, for longer than the lease; and a store that forgets a claim that it
// had acknowledged.
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
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/event"
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

// Outcome says what became of an event.
type Outcome string

// The outcomes.
const (
	Accepted    Outcome = "accepted"    // Kafka has it, by this attempt
	Duplicate   Outcome = "duplicate"   // Kafka had it before
	Spooled     Outcome = "spooled"     // it is on disk here, and will be delivered
	Quarantined Outcome = "quarantined" // the quarantine topic has it
)

// Inbound is an authentic event on its way in.
type Inbound struct {
	Event       event.Event
	WebhookID   string
	Origin      Origin
	ReceivedAt  time.Time
	Traceparent string // W3C trace context, or ""
	// Release is called once, when nothing reads the event's payload any more.
	// That can be after Dispatch returned. It may be nil.
	Release func()
}

// Options of a Dispatcher.
type Options struct {
	Routes         Routes
	Sealer         *Sealer
	Terms          event.Terms
	ProduceTimeout time.Duration // less than half of the lease
	Replica        string
	Spool          *spool.Log // nil: what cannot be settled now is an error
	Queues         Queues     // nil: this is the only replica
	OnOutage       OnOutage   // of the store
	Log            *slog.Logger
	Metrics        prometheus.Registerer
	Now            func() time.Time // nil: time.Now
}

// OnOutage says what becomes of events while the store is away.
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
	outage   *outage
	spooler  *spooler // nil without a spool
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
		outage:   newOutage(store.Ping, opts.Log),
	}
	if opts.Spool != nil {
		observeSpool(opts.Metrics, opts.Spool)
		d.spooler = newSpooler(opts.Spool, opts.Queues, d.outage, opts.Log, d.drainOne)
		d.outage.back = d.spooler.publishAll
		d.spooler.start()
	}
	return d
}

// Close waits until every record that was handed to Kafka has its outcome and
// the store knows of it, or until the context ends. What the store is not told
// by then is settled by whoever meets the event next; the error says so.
func (d *Dispatcher) Close(ctx context.Context) error {
	if d.spooler != nil {
		d.spooler.close()
	}
	d.outage.close()
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
	return errors.Join(err, d.confirms.close(ctx))
}

// Dispatch brings an event into its topic, unless it is there. It returns when
// Kafka has acknowledged it or when the context ends, whichever is first; the
// attempt itself goes on until the produce time-out. What cannot be settled by
// then is Spooled, where there is a spool with room. A record that the broker
// refuses goes to quarantine. The errors are ErrStore, ErrInFlight,
// ErrNotStored and ErrUnknown, and ErrRefused where the broker refuses the
// quarantine record too. It must not be called once Close was.
func (d *Dispatcher) Dispatch(ctx context.Context, in Inbound) (Outcome, error) {
	memory := newHold(in.Release)
	defer memory.release()
	dl := &delivery{
		claimKey: in.Event.ClaimKey(in.WebhookID),
		topic:    d.opts.Routes.Topic(in.Event),
		record:   in.record(),
		identity: in.Event.Identity(in.WebhookID),
		queue:    in.Event.QueueKey(in.WebhookID),
		webhook:  in.WebhookID,
		received: in.ReceivedAt,
		memory:   memory,
		since:    d.readBackFrom(in),
	}
	outcome, err := d.deliverOrSpool(ctx, dl)
	if errors.Is(err, ErrRefused) {
		outcome, err = Quarantined, d.quarantineRefused(ctx, dl)
	}
	if err != nil {
		return "", err
	}
	return outcome, nil
}

// quarantineRefused keeps a record that the broker would not take.
func (d *Dispatcher) quarantineRefused(ctx context.Context, dl *delivery) error {
	dl.memory.retain()
	return d.Quarantine(ctx, Suspect{
		Body: dl.record.Value, WebhookID: dl.webhook, Reason: ReasonRefused,
		ReceivedAt: dl.received, Release: dl.memory.release,
	})
}

func (in Inbound) record() Record {
	h := append(in.Event.Headers(in.WebhookID),
		event.Header{Key: "gateway-origin", Value: []byte(in.Origin)},
		event.Header{Key: "gateway-received-at", Value: timestamp(in.ReceivedAt)},
	)
	if in.Traceparent != "" {
		h = append(h, event.Header{Key: "traceparent", Value: []byte(in.Traceparent)})
	}
	return Record{Key: in.Event.PartitionKey(), Value: in.Event.Payload, Headers: h}
}

func timestamp(t time.Time) []byte { return t.UTC().AppendFormat(nil, time.RFC3339Nano) }

// delivery is what a journey needs to know of an event or a suspect body.
type delivery struct {
	claimKey string
	topic    string
	record   Record
	identity []event.Header // the headers that no other record has
	queue    string         // of its operation; "": it need not be in order
	webhook  string
	received time.Time
	memory   *hold
	since    time.Time // read back from then on: the store may have forgotten the event; zero: it has not

	spooled bool   // it comes from the spool
	doubt   *doubt // an earlier attempt may have stored the record
}

// hold counts who still reads a record's memory, and frees it after the last.
type hold struct {
	readers atomic.Int32
	free    func()
}

func newHold(free func()) *hold {
	h := &hold{free: free}
	h.readers.Store(1)
	return h
}

func (h *hold) retain() { h.readers.Add(1) }

func (h *hold) release() {
	if h.readers.Add(-1) == 0 && h.free != nil {
		h.free()
	}
}

// deliverOrSpool delivers what can be settled now, and spools the rest.
func (d *Dispatcher) deliverOrSpool(ctx context.Context, dl *delivery) (Outcome, error) {
	if d.spooler != nil && d.spooler.holds(dl.queue) {
		return d.spool(ctx, dl, errBehind)
	}
	if d.outage.storeIsDown() {
		return d.withoutStore(ctx, dl, ErrStore)
	}
	outcome, err := d.deliver(ctx, dl)
	switch {
	case err == nil, errors.Is(err, ErrRefused):
		return outcome, err
	case errors.Is(err, ErrStore):
		return d.withoutStore(ctx, dl, err)
	}
	return d.spool(ctx, dl, err)
}

// hasAlternative says whether there is anything better to do, while the store is
// away, than to ask it all the same.
func (d *Dispatcher) hasAlternative() bool {
	return d.spooler != nil || d.opts.OnOutage == AcceptOnOutage
}

// withoutStore does what is configured for a store that is away.
func (d *Dispatcher) withoutStore(ctx context.Context, dl *delivery, why error) (Outcome, error) {
	switch d.opts.OnOutage {
	case RejectOnOutage:
		return "", why
	case AcceptOnOutage:
		outcome, err := d.produceUnchecked(ctx, dl)
		if err == nil || errors.Is(err, ErrRefused) {
			return outcome, err
		}
		why = err
	}
	return d.spool(ctx, dl, why)
}

// produceUnchecked produces without a claim, and says so in the record.
func (d *Dispatcher) produceUnchecked(ctx context.Context, dl *delivery) (Outcome, error) {
	place, _, err := d.producer.Place(ctx, dl.topic, dl.record.Key)
	if err != nil {
		return "", fmt.Errorf("%w: choose a partition: %w", ErrNotStored, err)
	}
	record := dl.record
	record.Headers = append(slices.Clone(record.Headers), event.Header{Key: "gateway-dedup", Value: []byte("unchecked")})
	outcome := make(chan error, 1)
	d.pending.Add(1)
	dl.memory.retain()
	d.producer.Append(place, record, d.opts.Now().Add(d.opts.ProduceTimeout), func(_ int64, err error) {
		defer d.pending.Done()
		dl.memory.release()
		outcome <- err
	})
	if err := await(ctx, outcome); err != nil {
		return "", err
	}
	d.metrics.unchecked.Inc()
	return Accepted, nil
}

// spoolTimeout is what a request may take beyond its context to reach the disk.
const spoolTimeout = 800 * time.Millisecond

// errBehind: an earlier event of the operation is in a spool.
var errBehind = fmt.Errorf("%w: an earlier event of its operation waits in a spool", ErrNotStored)

// spool puts a delivery on disk. Where that fails, the error is why it could
// not be delivered, and why not spooled.
func (d *Dispatcher) spool(ctx context.Context, dl *delivery, why error) (Outcome, error) {
	if d.spooler == nil {
		return "", why
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spoolTimeout)
	defer cancel()
	err := d.spooler.put(ctx, &parcel{
		ClaimKey: dl.claimKey, Topic: dl.topic, Record: dl.record, Identity: dl.identity,
		WebhookID: dl.webhook, ReceivedAt: dl.received, Since: dl.since, Doubt: dl.doubt,
		Ticket: event.Ticket{Queue: dl.queue, ID: d.token(), At: dl.received},
	})
	if err != nil {
		return "", fmt.Errorf("%w; nor could it be spooled: %w", why, err)
	}
	d.metrics.spooled.Inc()
	return Spooled, nil
}

// drainOne is one attempt at a spooled delivery.
func (d *Dispatcher) drainOne(ctx context.Context, p *parcel) error {
	dl := p.delivery()
	_, err := d.deliver(ctx, dl)
	p.Doubt = dl.doubt
	if errors.Is(err, ErrRefused) && dl.topic != d.opts.Routes.Quarantine() {
		err = d.quarantineRefused(ctx, dl)
	}
	if err != nil {
		d.opts.Log.Debug("a spooled event has to wait", "webhook", dl.webhook, "error", err)
		return err
	}
	d.metrics.drained.Inc()
	return nil
}

// deliver is the journey.
func (d *Dispatcher) deliver(ctx context.Context, dl *delivery) (Outcome, error) {
	place, from, err := d.producer.Place(ctx, dl.topic, dl.record.Key)
	if err != nil {
		return "", fmt.Errorf("%w: choose a partition: %w", ErrNotStored, err)
	}
	forgotten, err := d.findForgotten(ctx, dl, place, from)
	switch {
	case err != nil:
		return "", err
	case forgotten:
		return Duplicate, nil
	}
	claim, verdict, claimedAt, err := d.claim(ctx, event.Claim{
		Key: dl.claimKey, Token: d.token(), Replica: d.opts.Replica, Place: place, FromOffset: from, Queue: d.queueToAsk(dl),
	}, !dl.spooled)
	if err != nil {
		return "", err
	}
	if verdict == event.Delivered {
		return Duplicate, nil
	}
	found, err := d.settleDoubts(ctx, claim, verdict, dl)
	switch {
	case err != nil:
		return "", err
	case found:
		return Duplicate, nil
	}
	if err := d.mayProduce(claim, dl); err != nil {
		d.giveBack(claim)
		return "", err
	}
	return d.produce(ctx, claim, claimedAt, dl)
}

// clockMargin is what the clocks of the platform, the gateways and the brokers
// are trusted not to differ by. Reading a little too much back does no harm.
const clockMargin = time.Hour

// readBackFrom is the time from which on Kafka is read back for an event that is
// older than the store's memory. A callback as old as that is not fresh, and
// does not get here.
func (d *Dispatcher) readBackFrom(in Inbound) time.Time {
	remembered := d.opts.Now().Add(clockMargin - d.opts.Terms.Keep)
	if in.Origin == Callback || in.Event.Created.After(remembered) {
		return time.Time{}
	}
	return in.Event.Created.Add(-clockMargin)
}

// findForgotten looks in Kafka for an event that the store may have forgotten.
// It does so ahead of the claim, whose lease is too short for a long read; what
// is written between the two is looked at under the claim.
func (d *Dispatcher) findForgotten(ctx context.Context, dl *delivery, place event.Place, from int64) (bool, error) {
	if dl.since.IsZero() {
		return false, nil
	}
	_, found, err := d.producer.FindSince(ctx, place, dl.since, dl.identity)
	if err != nil {
		return false, fmt.Errorf("%w: read the partition back: %w", ErrUnknown, err)
	}
	if dl.doubt == nil {
		dl.doubt = &doubt{Place: place, FromOffset: from}
	}
	return found, nil
}

// queueToAsk is the queue that a new event may have to stand in. A spooled one
// has had its turn.
func (d *Dispatcher) queueToAsk(dl *delivery) string {
	if dl.spooled || d.opts.Queues == nil {
		return ""
	}
	return dl.queue
}

// mayProduce is false for what belongs in the spool, given that there is one.
// What comes from there is what finds out whether a partition is back.
func (d *Dispatcher) mayProduce(c event.Claim, dl *delivery) error {
	switch {
	case dl.spooled || d.spooler == nil:
		return nil
	case c.Queued:
		return errBehind
	case d.producer.Failing(c.Place):
		return fmt.Errorf("%w: the partition takes no records at the moment", ErrNotStored)
	}
	return nil
}

// token names this attempt.
func (d *Dispatcher) token() string {
	return d.instance + "-" + strconv.FormatUint(d.attempts.Add(1), 36)
}

// Waits between looks at a claim that somebody else holds.
const (
	firstLook = 5 * time.Millisecond
	lastLook  = 200 * time.Millisecond
)

// claim asks until the claim is ours or the event is delivered; without patience
// it asks once. The time it returns is one at which the lease had not begun yet.
func (d *Dispatcher) claim(ctx context.Context, c event.Claim, patient bool) (event.Claim, event.Verdict, time.Time, error) {
	busy := false
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		asked := d.opts.Now()
		got, verdict, err := d.store.Claim(ctx, c, d.opts.Terms)
		switch {
		case err != nil && busy && ctx.Err() != nil:
			return got, verdict, asked, ErrInFlight
		case err != nil:
			if ctx.Err() == nil && d.hasAlternative() {
				d.outage.storeFailed(err)
			}
			d.giveBack(c) // it may have been granted all the same
			return got, verdict, asked, fmt.Errorf("%w: claim: %w", ErrStore, err)
		case verdict != event.Busy:
			return got, verdict, asked, nil
		case !patient:
			return got, verdict, asked, ErrInFlight
		}
		busy = true
		select {
		case <-ctx.Done():
			return got, verdict, asked, ErrInFlight
		case <-time.After(wait):
		}
	}
}

// settleDoubts looks in Kafka for what an earlier attempt may have produced:
// the owner that the claim was inherited from, or the one that spooled it.
func (d *Dispatcher) settleDoubts(ctx context.Context, c event.Claim, v event.Verdict, dl *delivery) (found bool, err error) {
	if v == event.Inherited {
		dl.doubt = &doubt{Place: c.Place, FromOffset: c.FromOffset}
	} else if dl.doubt == nil {
		return false, nil
	} else if d.opts.Now().Before(dl.doubt.Over) {
		d.giveBack(c)
		return false, fmt.Errorf("%w: an earlier attempt may still arrive", ErrUnknown)
	}
	d.metrics.inherited.Inc()
	offset, found, err := d.producer.Find(ctx, dl.doubt.Place, dl.doubt.FromOffset, dl.identity)
	if err != nil {
		d.giveBack(c) // this attempt has produced nothing
		return false, fmt.Errorf("%w: read the partition back: %w", ErrUnknown, err)
	}
	if found {
		d.confirm(c, offset)
	}
	dl.doubt = nil
	return found, nil
}

// produce hands the record over and waits for its outcome, at most until the
// context ends.
func (d *Dispatcher) produce(ctx context.Context, c event.Claim, claimedAt time.Time, dl *delivery) (Outcome, error) {
	deadline, ok := d.deadline(ctx, claimedAt)
	if !ok {
		d.giveBack(c)
		return "", fmt.Errorf("%w: the lease is nearly over", ErrNotStored)
	}
	outcome := make(chan error, 1)
	d.pending.Add(1)
	dl.memory.retain()
	d.producer.Append(c.Place, dl.record, deadline, func(offset int64, err error) {
		defer d.pending.Done()
		dl.memory.release()
		d.settle(c, offset, err)
		outcome <- err
	})
	err := await(ctx, outcome)
	if errors.Is(err, ErrUnknown) {
		dl.doubt = &doubt{
			Place: c.Place, FromOffset: c.FromOffset,
			Over: claimedAt.Add(d.opts.Terms.Lease + d.opts.Terms.TakeoverWait),
		}
	}
	if err != nil {
		return "", err
	}
	return Accepted, nil
}

// await returns the outcome, if there is one by the end of the context.
func await(ctx context.Context, outcome <-chan error) error {
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-outcome: // both came, and select chose the other
		return err
	default:
		return fmt.Errorf("%w: Kafka has not answered yet", ErrUnknown)
	}
}

// answerMargin is what is left of a request's time, after its last attempt at
// Kafka, to spool it with a certain outcome.
const answerMargin = 200 * time.Millisecond

// deadline is when the last request of an attempt ends. There is none when
// less than a produce time-out is left of the lease. With a spool, an attempt
// does not outlast the request that it is made for: the spool goes on with it.
func (d *Dispatcher) deadline(ctx context.Context, claimedAt time.Time) (time.Time, bool) {
	now := d.opts.Now()
	deadline := now.Add(d.opts.ProduceTimeout)
	ok := deadline.Before(claimedAt.Add(d.opts.Terms.Lease))
	if end, bounded := ctx.Deadline(); bounded && d.spooler != nil {
		deadline = now.Add(min(d.opts.ProduceTimeout, time.Until(end)-answerMargin))
	}
	return deadline, ok
}

// settle tells the store of an outcome. An unknown one it is not told of.
func (d *Dispatcher) settle(c event.Claim, offset int64, err error) {
	switch {
	case err == nil:
		d.confirm(c, offset)
	case errors.Is(err, ErrUnknown):
		d.metrics.unknown.Inc()
	default:
		d.giveBack(c)
	}
}

func (d *Dispatcher) confirm(c event.Claim, offset int64) {
	d.confirms.add(event.Delivery{
		Key: c.Key, Token: c.Token, Offset: offset, Place: c.Place, Keep: d.opts.Terms.Keep,
	})
}

// releaseTimeout bounds the call that gives a claim back. Where it fails, the
// claim ends with its lease.
const releaseTimeout = 5 * time.Second

// giveBack releases a claim without holding up the producer.
func (d *Dispatcher) giveBack(c event.Claim) {
	d.pending.Add(1)
	go func() {
		defer d.pending.Done()
		ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		if err := d.store.Release(ctx, c.Key, c.Token); err != nil {
			d.opts.Log.Warn("a claim could not be given back and stays until its lease ends", "error", err)
		}
	}()
}
