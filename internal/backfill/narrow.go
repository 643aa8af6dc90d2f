package backfill

import (
	"context"
	"errors"

	"awareid-gateway/internal/awareid"
)

// narrowing finds the number that makes the platform answer 5xx. That mostly means
// that the platform is out of order, so it is not sought within a round, as with
// other errors, but by halving what the next round asks for: an outage costs no
// more requests than before, and the circuit has its rest.
type narrowing struct {
	size     int // numbers of a request; 0: as many as there are
	suspects int // numbers among which the bad one is, if there is one
	failures int // in a row
}

// narrowAfter is how many rounds fail before a number is suspected.
const narrowAfter = 3

// part is what of a batch is asked for now.
func (n *narrowing) part(batch []number) []number {
	if n.size == 0 {
		return batch
	}
	return batch[:min(n.size, len(batch))]
}

// failed notes that the platform answered 5xx to a request.
func (n *narrowing) failed(numbers int) {
	if n.failures++; n.failures < narrowAfter {
		return
	}
	n.size, n.suspects = max(1, numbers/2), numbers
}

// answered notes that it answered. Once it has done so for all suspects they are
// none: it was out of order.
func (n *narrowing) answered(numbers int) {
	if n.suspects -= numbers; n.suspects <= 0 {
		*n = narrowing{}
	}
}

// fetchPart asks for a batch, or for as much of it as narrowing leaves.
func (b *Backfiller) fetchPart(ctx context.Context, h *hook, batch []number) (result, error) {
	part := h.narrowing.part(batch)
	if h.narrowing.size == 1 && len(batch) > 1 {
		return b.compare(ctx, h, batch[0], batch[1+h.failures%(len(batch)-1)])
	}
	r, err := b.fetch(ctx, h, textOf(part), false)
	if isServerError(err) {
		h.narrowing.failed(len(part))
	} else {
		h.narrowing.answered(len(part))
	}
	return r, err
}

// compare asks for a suspect and another number, each alone. One to which the
// platform answers 5xx did not come if it answers for the other one; if it does
// for neither, it is out of order. The other number is dispatched in its turn, not
// now. Either is asked for first at times: a circuit that was open lets the second
// one pass only where the first one is answered.
func (b *Backfiller) compare(ctx context.Context, h *hook, suspect, other number) (result, error) {
	var r result
	var err, otherErr error
	ask := func() { r, err = b.fetch(ctx, h, textOf([]number{suspect}), false) }
	askOther := func() { _, otherErr = b.fetch(ctx, h, textOf([]number{other}), true) }
	if h.failures%2 == 0 {
		askOther()
		ask()
	} else {
		ask()
		askOther()
	}
	switch failed, otherFailed := isServerError(err), isServerError(otherErr); {
	case failed && otherErr == nil:
		b.blame(h, suspect, r, err)
		return r, nil
	case otherFailed && err == nil:
		b.blame(h, other, r, otherErr)
	case err == nil:
		h.narrowing.answered(1)
	}
	return r, err
}

func (b *Backfiller) blame(h *hook, bad number, r result, err error) {
	b.metrics.failed(h.ID, err)
	b.opts.Log.Warn("the platform fails at one number", "webhook", h.ID, "error", err)
	r.outcomes[bad.text()] = NotReturned
	h.narrowing = narrowing{}
}

func isServerError(err error) bool {
	e, ok := errors.AsType[*awareid.Error](err)
	return ok && e.Status >= 500
}
