package dispatch

import (
	"context"
	"errors"
	"fmt"
	"time"

	"awareid-gateway/internal/event"
)

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
	for _, key := range names(c) {
		d.confirms.add(event.Delivery{
			Key: key, Token: c.Token, Offset: offset, Place: c.Place, Keep: d.opts.Terms.Keep, LeaseUntil: c.LeaseUntil,
		})
	}
}

// releaseTimeout bounds the call that gives a claim back. Where it fails, the
// claim ends with its lease.
const releaseTimeout = 5 * time.Second

// giveBack releases a claim, under all its names, without holding up the
// producer. Of a name that is not held nothing is lost.
func (d *Dispatcher) giveBack(c event.Claim) {
	d.pending.Add(1)
	go func() {
		defer d.pending.Done()
		ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		for _, key := range names(c) {
			if err := d.store.Release(ctx, key, c.Token); err != nil {
				d.opts.Log.Debug("a claim could not be given back and stays until its lease ends", "error", err)
			}
		}
	}()
}
