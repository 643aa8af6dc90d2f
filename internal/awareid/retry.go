package awareid

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

const (
	firstBackoff = 500 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// maxWait is the longest Retry-After that a call waits for. A platform that wants
	// to be left alone for longer ends the call.
	maxWait = 30 * time.Second
)

// verdict is what the outcome of an exchange means for the next one.
type verdict struct {
	again bool          // another try may go better
	acted bool          // the platform may have carried it out
	after time.Duration // how long it wants to be left alone
}

func judge(err error) verdict {
	if e, ok := errors.AsType[*Error](err); ok {
		failed := e.Status >= 500
		return verdict{
			again: e.Status == http.StatusTooManyRequests || failed && e.Status != http.StatusNotImplemented,
			acted: failed,
			after: e.RetryAfter,
		}
	}
	if e, ok := errors.AsType[*unanswered](err); ok {
		return verdict{again: !e.final, acted: e.sent}
	}
	return verdict{acted: errors.Is(err, ErrMalformed)} // it came with a 2xx
}

// persist makes an exchange again while that is safe and promising. A call that
// must not be made twice ends with ErrOutcomeUnknown where it may have been
// carried out; of others it notes that in q.
func (c *Client) persist(ctx context.Context, q *request, exchange func() error) error {
	var last error
	backoff := firstBackoff
	for try := 1; ; try++ {
		err := exchange()
		if err == nil {
			return nil
		}
		if errors.Is(err, errCircuitOpen) && last != nil {
			return last // it tells more
		}
		v := judge(err)
		q.acted = q.acted || v.acted
		switch {
		case q.once && v.acted:
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		case !v.again || try == c.attempts:
			return err
		}
		// Those who were told the same Retry-After do not come back together either.
		if v.after > maxWait || !pause(ctx, v.after+jittered(backoff)) {
			return withEnd(ctx, err)
		}
		c.metrics.repeated(q.operation)
		last, backoff = err, min(2*backoff, lastBackoff)
	}
}

// jittered returns d or up to half less, so that callers that failed together do
// not come back together.
func jittered(d time.Duration) time.Duration { return d - rand.N(d/2+1) } // #nosec G404 -- nothing secret depends on it

// pause waits and reports whether to go on. It does not wait where that would be
// in vain.
func pause(ctx context.Context, d time.Duration) bool {
	if until, ok := ctx.Deadline(); ok && time.Until(until) <= d {
		return false
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// withEnd makes err say too that the context ended, if it did.
func withEnd(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w (%w)", err, ctx.Err())
}
