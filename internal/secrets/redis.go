package secrets

import (
	"context"
	"errors"
	"time"

	"awareid-gateway/internal/config"
)

// RotationStore is what a RedisBoard needs of a store.
type RotationStore interface {
	Reader
	MarkRotation(ctx context.Context, webhook, who string, ttl time.Duration) (bool, error)
	UnmarkRotation(ctx context.Context, webhook, who string) error
	TellRotation(ctx context.Context, webhook string, told []byte, keep time.Duration) error
}

// RedisBoard is where all replicas look.
type RedisBoard struct {
	Store   RotationStore
	Webhook string
	Keep    time.Duration // of what is told
}

// Mark puts up the mark, or keeps it up.
func (b RedisBoard) Mark(ctx context.Context, who string, ttl time.Duration) (bool, error) {
	return b.Store.MarkRotation(ctx, b.Webhook, who, ttl)
}

// Unmark takes the mark away if it is who's.
func (b RedisBoard) Unmark(ctx context.Context, who string) error {
	return b.Store.UnmarkRotation(ctx, b.Webhook, who)
}

// Lacks goes by the notice. Where there is none, ends go back as far as it would
// have been kept.
func (b RedisBoard) Lacks(ctx context.Context, used config.WebhookSecret, known []config.WebhookSecret) (bool, error) {
	notice, err := b.Told(ctx, known)
	switch {
	case errors.Is(err, ErrSealed):
		return true, nil
	case err != nil:
		return false, err
	case notice.At.IsZero():
		return endAfter(known, time.Now().Add(-b.Keep)), nil
	}
	return indexOf(notice.Secrets, used) < 0, nil
}

// Tell seals a notice and replaces the one of before.
func (b RedisBoard) Tell(ctx context.Context, n Notice, under []config.WebhookSecret) error {
	sealed, err := Seal(n, b.Webhook, under)
	if err != nil {
		return err
	}
	return b.Store.TellRotation(ctx, b.Webhook, sealed, b.Keep)
}

// Told opens what was told last of a webhook; the zero Notice where nothing was.
// It returns ErrSealed where no configured secret that has not ended opens it.
func (b RedisBoard) Told(ctx context.Context, configured []config.WebhookSecret) (Notice, error) {
	states, err := b.Store.Rotations(ctx, []string{b.Webhook})
	if err != nil || states[0].Told == nil {
		return Notice{}, err
	}
	return Open(states[0].Told, b.Webhook, live(configured, time.Now()))
}
