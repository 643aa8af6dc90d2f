package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"awareid-gateway/internal/event"
)

// comesAgain says that whoever sent a delivery still has it, and sends it again. It
// must not take what is there for callbacks, which nobody has any more.
func (dl *delivery) comesAgain() bool { return dl.origin == Backfill || dl.origin == Replay }

// deliverOrSpool delivers what can be settled now, and spools the rest, or returns
// why not.
func (d *Dispatcher) deliverOrSpool(ctx context.Context, dl *delivery) (Outcome, error) {
	if d.spooler != nil && d.spooler.holds(dl.queue) {
		return d.spool(ctx, dl, errBehind)
	}
	wait := d.mustWait(ctx)
	switch {
	case d.outage.storeIsDown():
		return d.withoutStore(ctx, dl, ErrStore)
	case wait != nil:
		return d.spool(ctx, dl, wait)
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

// errAbsent: another replica, which the store has not heard of lately, may have
// spooled an earlier event of the operation.
var errAbsent = fmt.Errorf("%w: a replica is absent", ErrNotStored)

// Ready is nil while events can be delivered as far as the store and the other
// replicas go; else it says what is waited for. For whoever can come later.
func (d *Dispatcher) Ready(ctx context.Context) error {
	if d.outage.storeIsDown() {
		return ErrStore
	}
	return d.mustWait(ctx)
}

// mustWait is an error where nothing can be delivered at the moment.
func (d *Dispatcher) mustWait(ctx context.Context) error {
	if d.others != nil && !d.others.clear(ctx) {
		return errAbsent
	}
	if d.memory != nil && !d.remembers(ctx) {
		return errUnsettled
	}
	return nil
}

// lookTimeout is what the first events wait for the first look at the store's
// memory.
const lookTimeout = 500 * time.Millisecond

func (d *Dispatcher) remembers(ctx context.Context) bool {
	select {
	case <-d.restore.looked: // as it always is but at the start
		return d.memory.isSettled()
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	select {
	case <-d.restore.looked:
	case <-ctx.Done():
	}
	return d.memory.isSettled()
}

// hasAlternative says whether there is anything better to do, while the store is
// away, than to ask it all the same.
func (d *Dispatcher) hasAlternative() bool {
	return d.spooler != nil || d.opts.OnOutage == AcceptOnOutage
}

// withoutStore does what is configured for a store that is away.
func (d *Dispatcher) withoutStore(ctx context.Context, dl *delivery, why error) (Outcome, error) {
	switch {
	case d.opts.OnOutage == RejectOnOutage, dl.comesAgain():
		return "", why
	case d.opts.OnOutage == AcceptOnOutage:
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

// spool puts a delivery on disk, unless it comes again by itself. Where that fails, the error is why it could
// not be delivered, and why not spooled.
func (d *Dispatcher) spool(ctx context.Context, dl *delivery, why error) (Outcome, error) {
	d.opts.Log.Debug("an event has to wait", "webhook", dl.webhook, "why", why)
	if d.spooler == nil || dl.comesAgain() {
		return "", why
	}
	left := spoolTimeout
	if end, bounded := ctx.Deadline(); bounded {
		left += max(time.Until(end), 0)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	dl.identify()
	err := d.spooler.put(ctx, &parcel{
		ClaimKey: dl.claimKey, Topic: dl.topic, Record: dl.record, Identity: dl.identity,
		WebhookID: dl.webhook, ReceivedAt: dl.received, CreatedAt: dl.created, Since: dl.since, Doubt: dl.doubt, Number: dl.number,
		Ticket: event.Ticket{Queue: dl.queue, ID: d.token(), At: d.inStoreTime(dl.received)},
	})
	if err != nil {
		return "", fmt.Errorf("%w; nor could it be spooled: %w", why, err)
	}
	d.metrics.spooled.Inc()
	return Spooled, nil
}

// inStoreTime is a time by a clock that all replicas share, where there is one.
func (d *Dispatcher) inStoreTime(t time.Time) time.Time {
	if d.others == nil {
		return t
	}
	return d.others.inStoreTime(t)
}

// drainOne is one attempt at a spooled delivery.
func (d *Dispatcher) drainOne(ctx context.Context, p *parcel) error {
	dl := p.delivery()
	_, err := d.deliver(ctx, dl)
	p.Doubt, p.Since = dl.doubt, dl.since
	if errors.Is(err, ErrRefused) && dl.topic != d.opts.Routes.Quarantine() {
		err = d.quarantineRefused(ctx, dl)
	}
	if err != nil {
		d.sayWhyItWaits(p, err)
		return err
	}
	d.metrics.drained.Inc()
	d.numbers.see(dl, Accepted)
	return nil
}

// sayWhyItWaits is loud, once, about what does not mend itself: the event stays in
// the spool, and its operation behind it, until the topics take it.
func (d *Dispatcher) sayWhyItWaits(p *parcel, err error) {
	if errors.Is(err, ErrRefused) && !p.refused {
		p.refused = true
		d.opts.Log.Error("a spooled event is refused by its topic and by the quarantine topic; it waits in the spool until their max.message.bytes lets it pass",
			"webhook", p.WebhookID, "topic", p.Topic, "bytes", len(p.Record.Value), "error", err)
		return
	}
	d.opts.Log.Debug("a spooled event has to wait", "webhook", p.WebhookID, "error", err)
}
