package dispatch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"awareid-gateway/internal/event"
)

// delivery is what a journey needs to know of an event or a suspect body.
type delivery struct {
	origin   Origin // "": it is no event
	claimKey string
	topic    string
	record   Record
	identity []event.Header // the headers that no other record has; of an event only once identify was called
	queue    string         // of its operation; "": it need not be in order
	webhook  string
	received time.Time
	created  time.Time
	memory   *hold
	since    time.Time // read back from then on: the store may have forgotten the event; zero: it has not
	number   *numbered // nil: it has none

	readIn  string // the store's memory in which it was read back since then
	spooled bool   // it comes from the spool
	doubt   *doubt // an earlier attempt may have stored the record
}

// identify sets what is to be looked for in Kafka, which most events never are.
func (dl *delivery) identify() {
	if dl.identity != nil {
		return
	}
	e, webhook, _ := event.Past(dl.record.Headers)
	dl.identity = e.Identity(webhook)
	if dl.number == nil {
		return
	}
	dl.number.Identity = e.AliasIdentity(webhook)
	if dl.origin != Backfill { // another callback's record is another event's
		dl.number.Identity = append(dl.number.Identity, event.Header{Key: headerOrigin, Value: Backfill.bytes()})
	}
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

// deliver is the journey. Where the store may have forgotten the event, it is
// made once more, with a look at Kafka first.
func (d *Dispatcher) deliver(ctx context.Context, dl *delivery) (Outcome, error) {
	outcome, err := d.travel(ctx, dl)
	if errors.Is(err, errForgotten) {
		outcome, err = d.travel(ctx, dl)
	}
	return outcome, err
}

func (d *Dispatcher) travel(ctx context.Context, dl *delivery) (Outcome, error) {
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
	g, err := d.claim(ctx, event.Claim{
		Key: dl.claimKey, Token: d.token(), Replica: d.opts.Replica, Place: place, FromOffset: from,
		Queue: d.queueToAsk(dl), Alias: dl.alias(), Fetched: dl.origin == Backfill,
	}, !dl.spooled)
	if err != nil {
		return "", err
	}
	if g.verdict == event.Delivered {
		return Duplicate, nil
	}
	if err := d.recall(ctx, g.Claim, dl); err != nil {
		d.giveBack(g.Claim)
		return "", err
	}
	found, err := d.settleDoubts(ctx, g, dl)
	switch {
	case err != nil:
		return "", err
	case found:
		return Duplicate, nil
	}
	if err := d.mayProduce(g.Claim, dl); err != nil {
		d.giveBack(g.Claim)
		return "", err
	}
	return d.produce(ctx, g.Claim, g.at, dl)
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
	memory := ""
	if d.memory != nil {
		memory = d.memory.settledID()
	}
	_, found, err := findAny(ctx, dl.identities(event.Claim{}), func(ctx context.Context, headers []event.Header) (int64, bool, error) {
		return d.producer.FindSince(ctx, place, dl.since, headers)
	})
	if err != nil {
		return false, fmt.Errorf("%w: read the partition back: %w", ErrUnknown, err)
	}
	dl.readIn = memory
	if dl.doubt == nil {
		dl.doubt = &doubt{Place: place, FromOffset: from}
	}
	return found, nil
}

// recall makes sure that a claim is not new merely because the store has lost
// its memory.
func (d *Dispatcher) recall(ctx context.Context, c event.Claim, dl *delivery) error {
	if d.memory == nil {
		return nil
	}
	err := d.memory.vouches(ctx, c.Memory, dl.created)
	if errors.Is(err, errForgotten) {
		if dl.readIn == c.Memory {
			return nil // Kafka was asked
		}
		dl.since = dl.created.Add(-clockMargin)
	}
	return err
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

// claim asks until the right to produce is ours or the event is delivered;
// without patience it asks once.
func (d *Dispatcher) claim(ctx context.Context, c event.Claim, patient bool) (grant, error) {
	busy := false
	for wait := firstLook; ; wait = min(2*wait, lastLook) {
		g, err := d.ask(ctx, c)
		switch {
		case err != nil:
			d.giveBack(g.Claim) // it may have been granted all the same
			if busy && ctx.Err() != nil {
				return g, ErrInFlight
			}
			if ctx.Err() == nil && d.hasAlternative() {
				d.outage.storeFailed(err)
			}
			return g, fmt.Errorf("%w: claim: %w", ErrStore, err)
		case g.verdict != event.Busy:
			return g, nil
		}
		busy = true
		if !patient || !sleep(ctx, wait) {
			if g.own {
				d.giveBack(g.Claim)
			}
			return g, ErrInFlight
		}
	}
}

// sleep waits for exactly d, and is false when the context ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// settleDoubts looks in Kafka for what an earlier attempt may have produced:
// the owners that claims were inherited from, or the one that spooled it.
func (d *Dispatcher) settleDoubts(ctx context.Context, g grant, dl *delivery) (found bool, err error) {
	doubts := g.doubts
	switch {
	case g.heir: // the claim is of before the own doubt, and knows more
		dl.doubt = &doubts[0]
	case dl.doubt != nil && d.opts.Now().Before(dl.doubt.Over):
		d.giveBack(g.Claim)
		return false, fmt.Errorf("%w: an earlier attempt may still arrive", ErrUnknown)
	case dl.doubt != nil:
		doubts = append(doubts, *dl.doubt)
	}
	if len(doubts) == 0 {
		return false, nil
	}
	d.metrics.inherited.Inc()
	for _, where := range doubts {
		offset, found, err := d.find(ctx, where, dl.identities(g.Claim))
		if err != nil {
			d.giveBack(g.Claim) // this attempt has produced nothing
			return false, fmt.Errorf("%w: read the partition back: %w", ErrUnknown, err)
		}
		if found {
			g.Place = where.Place
			d.confirm(g.Claim, offset)
			dl.doubt = nil
			return true, nil
		}
	}
	dl.doubt = nil
	return false, nil
}

func (d *Dispatcher) find(ctx context.Context, where doubt, identities [][]event.Header) (int64, bool, error) {
	return findAny(ctx, identities, func(ctx context.Context, headers []event.Header) (int64, bool, error) {
		return d.producer.Find(ctx, where.Place, where.FromOffset, headers)
	})
}
