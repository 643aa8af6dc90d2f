package backfill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// Outcome says what became of a number that was asked for.
type Outcome string

// The outcomes. Those of an event that came are the dispatcher's, which spools none
// that was fetched.
const (
	Accepted    = Outcome(dispatch.Accepted)
	Duplicate   = Outcome(dispatch.Duplicate)
	Quarantined = Outcome(dispatch.Quarantined)
	Ready       = Outcome("ready")        // it came, and was not to be dispatched
	NotReturned = Outcome("not_returned") // no event that can be used came for it
	Failed      = Outcome("failed")       // it came, and could not be dispatched now
)

// Outcomes lists all outcomes.
func Outcomes() []Outcome {
	return []Outcome{Accepted, Duplicate, Quarantined, Ready, NotReturned, Failed}
}

// result is what became of numbers that were asked for. Those of a request that
// failed have no outcome.
type result struct {
	outcomes map[string]Outcome
	refused  map[Reason]int
	requests int
	failure  error // of the dispatcher, if any
}

const (
	// lanes bounds the events that are on their way to Kafka at a time, so that
	// callbacks keep the most of it.
	lanes = 16
	// dispatchTimeout leaves time to look in Kafka for an event that is older than
	// the store's memory.
	dispatchTimeout = 2 * time.Minute
	// endGrace is how much longer than its context what has begun may take. The
	// gateway's end waits for it.
	endGrace = 3 * time.Second
)

// maxBlamed is how many numbers are blamed one after the other, while no request is
// answered, before the webhook or the platform is: each costs a request or two.
const maxBlamed = 5

// fetch asks for numbers and dispatches what comes, unless dry. A number for which
// the platform has no usable answer even alone did not come. The error is the
// platform's, or the store's, or, where no request was answered, that of the
// numbers: those without an outcome may be asked for again.
func (b *Backfiller) fetch(ctx context.Context, h *hook, numbers []string, dry bool) (result, error) {
	r := result{outcomes: make(map[string]Outcome, len(numbers)), refused: map[Reason]int{}}
	answered, blamed := false, error(nil)
	for batch, err := range b.opts.Platform.EventData(ctx, h.ID, numbers) {
		r.requests++
		if err != nil && !isToBlame(batch, err) {
			return r, fmt.Errorf("ask the platform: %w", err)
		}
		for _, n := range batch.Numbers {
			r.outcomes[n] = NotReturned
		}
		if err != nil {
			if blamed = err; !answered && len(r.outcomes) >= maxBlamed {
				break
			}
			continue
		}
		answered = true
		if err := b.settle(ctx, h, batch, dry, &r); err != nil {
			return r, err
		}
	}
	if blamed != nil && !answered {
		return r, fmt.Errorf("ask the platform: %w", blamed)
	}
	if blamed != nil {
		b.metrics.failed(h.ID, blamed)
		b.opts.Log.Warn("the platform has no usable answer for some numbers", "webhook", h.ID, "error", blamed)
	}
	return r, ctx.Err()
}

// isToBlame reports whether the only number of a batch may have caused its error.
func isToBlame(batch awareid.Batch, err error) bool {
	return len(batch.Numbers) == 1 && awareid.OfNumbers(err)
}

// settle dispatches one answer, and tells the store at once of what came: the next
// look at what is due must not find it.
func (b *Backfiller) settle(ctx context.Context, h *hook, batch awareid.Batch, dry bool, r *result) error {
	received := b.opts.Now()
	events, refused := b.read(h, batch, received)
	for reason, n := range refused {
		r.refused[reason] += n
		b.metrics.refuse(h.ID, reason, n)
	}
	if len(refused) > 0 {
		b.opts.Log.Warn("event data was refused", "webhook", h.ID, "reasons", refused)
	}
	if dry {
		for _, e := range events {
			r.outcomes[e.number] = Ready
		}
		return nil
	}
	b.dispatchAll(ctx, h, events, received, r)
	ctx, cancel := finishing(ctx)
	defer cancel()
	return b.opts.Numbers.SeeFetched(ctx, seen(h.ID, events, r))
}

// dispatchAll dispatches the events of an operation one after the other, in the
// order of their numbers, and those of different operations side by side. Once the
// context has ended it begins no other, and those have failed.
func (b *Backfiller) dispatchAll(ctx context.Context, h *hook, events []fetched, received time.Time, r *result) {
	operations := map[string][]fetched{}
	var order []string
	for _, e := range events {
		key := e.PartitionKey()
		if operations[key] == nil {
			order = append(order, key)
		}
		operations[key] = append(operations[key], e)
	}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(lanes)
	for _, key := range order {
		group.Go(func() error {
			var err error
			for _, e := range operations[key] {
				outcome := Failed // as the one before it, behind which it must stay
				if err == nil && ctx.Err() == nil {
					outcome, err = b.dispatchOne(ctx, h, e.Event, received)
				}
				mu.Lock()
				r.outcomes[e.number] = worse(r.outcomes[e.number], outcome)
				r.failure = cmp.Or(err, r.failure)
				mu.Unlock()
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in r
}

// worse is what becomes of a number with the outcomes of two events: it is settled
// when all of its events are.
func worse(x, y Outcome) Outcome {
	rising := []Outcome{NotReturned, Duplicate, Accepted, Quarantined, Failed}
	if slices.Index(rising, x) > slices.Index(rising, y) {
		return x
	}
	return y
}

func (b *Backfiller) dispatchOne(ctx context.Context, h *hook, e event.Event, received time.Time) (Outcome, error) {
	ctx, cancel := finishing(ctx)
	defer cancel()
	outcome, err := b.opts.Dispatcher.Dispatch(ctx, dispatch.Inbound{
		Event: e, WebhookID: h.ID, Origin: dispatch.Backfill, ReceivedAt: received,
	})
	if err != nil {
		b.metrics.settled(h.ID, Failed)
		return Failed, fmt.Errorf("dispatch a fetched event: %w", err)
	}
	b.metrics.settled(h.ID, Outcome(outcome))
	return Outcome(outcome), nil
}

// finishing is a context for what is not to be broken off: it lasts for
// dispatchTimeout, and for endGrace where the other one has ended.
func finishing(ctx context.Context) (context.Context, context.CancelFunc) {
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), dispatchTimeout)
	stop := context.AfterFunc(ctx, func() {
		defer cancel()
		select {
		case <-lasting.Done():
		case <-time.After(endGrace):
		}
	})
	return lasting, func() { stop(); cancel() }
}

// maxNumber is as far as a store counts.
const maxNumber = 1<<53 - 1

// seen are the numbers that need not be asked for any more: Kafka has their events.
// One that the quarantine took would only get there again.
func seen(webhook string, events []fetched, r *result) []event.Number {
	var all []event.Number
	for _, e := range events {
		n, err := strconv.ParseUint(e.number, 10, 64)
		if err != nil || n > maxNumber {
			continue
		}
		switch r.outcomes[e.number] {
		case Accepted, Duplicate, Quarantined:
			all = append(all, event.Number{Webhook: webhook, N: n})
		}
	}
	return all
}
