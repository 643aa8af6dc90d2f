package backfill

import (
	"context"
	"errors"
	"fmt"

	"awareid-gateway/internal/event"
)

// Status is what is known of a webhook's numbers.
type Status struct {
	Name string
	ID   string
	event.Numbers
}

// Paused says whether nothing is asked for at the moment.
func (s Status) Paused() bool { return s.Now.Before(s.Until) }

// Status returns the status of the webhook of a name, of all for "". It returns
// ErrUnknownWebhook, or the store's error.
func (b *Backfiller) Status(ctx context.Context, name string) ([]Status, error) {
	hooks, err := b.choose(name)
	if err != nil {
		return nil, err
	}
	var all []Status
	for _, h := range hooks {
		sums, err := b.opts.Numbers.Numbers(ctx, h.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, Status{Name: h.Name, ID: h.ID, Numbers: sums})
	}
	return all, nil
}

// Resume ends the pause of the webhook of a name, of all for "".
func (b *Backfiller) Resume(ctx context.Context, name string) error {
	hooks, err := b.choose(name)
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range hooks {
		errs = append(errs, b.opts.Numbers.SetPace(ctx, h.ID, event.Pace{}))
	}
	return errors.Join(errs...)
}

// Restart drops what is known of the numbers of a webhook, and returns what that
// was: gaps, numbers that were given up, a pause. The next number that comes is the
// first one again, and what is missing below it can be fetched by hand. The name
// may be "" only where there is one webhook. It returns ErrRequest,
// ErrUnknownWebhook, or the store's error.
func (b *Backfiller) Restart(ctx context.Context, name string) (Status, error) {
	if name == "" && len(b.hooks) > 1 {
		return Status{}, fmt.Errorf("%w: there are several webhooks, name one", ErrRequest)
	}
	h, err := b.find(name)
	if err != nil {
		return Status{}, err
	}
	dropped, err := b.opts.Numbers.Forget(ctx, h.ID)
	if err != nil {
		return Status{}, err
	}
	b.opts.Log.Warn("backfill begins anew with the next number", "webhook", h.ID, "first", dropped.First, "next", dropped.Next,
		"missing", dropped.Missing, "retrying", dropped.Retrying, "unrecoverable", dropped.Unrecoverable)
	return Status{Name: h.Name, ID: h.ID, Numbers: dropped}, nil
}

// Unrecoverable returns the gaps of a webhook that were given up, at most limit.
func (b *Backfiller) Unrecoverable(ctx context.Context, name string, limit int) ([]event.Gap, error) {
	h, err := b.find(name)
	if err != nil {
		return nil, err
	}
	return b.opts.Numbers.Gaps(ctx, h.ID, event.Unrecoverable, 0, limit)
}
