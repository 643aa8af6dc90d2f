package secrets

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
)

// Settle is longer than a replica takes to see a mark.
const Settle = lookEvery + lookTimeout + time.Second

const (
	tellTimeout = 30 * time.Second
	tryTimeout  = time.Second
	tryAgain    = 500 * time.Millisecond
)

// What a caller of Rotate can tell apart.
var (
	// ErrBusy: another rotation of the webhook is under way.
	ErrBusy = errors.New("another rotation of this webhook is under way")
	// ErrUntold: the platform uses the new secret, and not everybody was told.
	ErrUntold = errors.New("the platform uses a new secret that could not be told everywhere")
	// ErrUnusable: the platform uses a secret that cannot be configured, so nobody was
	// told.
	ErrUnusable = errors.New("the platform uses a secret that cannot be configured under this SECRET_FORM")
)

// Platform is what a rotation asks of the platform.
type Platform interface {
	Webhook(ctx context.Context, id string) (awareid.Webhook, error)
	Rotate(ctx context.Context, current awareid.Webhook) (awareid.Secret, error)
}

// Board is where replicas look. Marks are one at a time, and end by themselves;
// Mark reports whether it is who's. Lacks reports whether the secret that the
// platform uses is still to be told there: another one was, or none although some
// that are known have an end, as a rotation leaves them.
type Board interface {
	Mark(ctx context.Context, who string, ttl time.Duration) (bool, error)
	Unmark(ctx context.Context, who string) error
	Lacks(ctx context.Context, used config.WebhookSecret, known []config.WebhookSecret) (bool, error)
	Tell(ctx context.Context, n Notice, under []config.WebhookSecret) error
}

// Rotator rotates the secret of one webhook.
type Rotator struct {
	Platform Platform
	Boards   []Board // at least one
	Webhook  string  // its id
	Form     string  // SECRET_FORM
	Known    []config.WebhookSecret
	Told     time.Time     // of the latest notice; zero: there is none
	KeepOld  time.Duration // how long the secrets of before are still accepted
	Progress func(step string)
}

// Rotated is what came of it.
type Rotated struct {
	Secrets []config.WebhookSecret // to be configured, the new one first; nil: nothing has changed
	Resumed bool                   // the platform used a secret that not everybody had been told: it was told, and no other was asked for
}

// Rotate makes the platform choose a new secret, and tells it on every board. The
// secrets of before end after KeepOld, unless they end earlier.
//
// It may be run again after whatever became of it: where the platform uses a secret
// that is not known, or not on every board, which is what an interrupted run leaves,
// it tells that one. Once the platform is asked, the end of ctx is no reason to stop.
//
// An error beside Secrets is ErrUntold. With ErrUnusable the platform uses another
// secret, and nobody was told; else nothing is known to have changed. The others are
// ErrBusy, those of the boards before the platform is asked, and those of
// awareid.Client, ErrOutcomeUnknown among them.
func (r *Rotator) Rotate(ctx context.Context) (Rotated, error) {
	if len(r.Known) >= maxSecrets {
		return Rotated{}, fmt.Errorf("more than %d secrets are listed: take out those that have ended", maxSecrets-1)
	}
	who := rand.Text()
	defer r.unmark(who)
	if err := r.mark(ctx, who); err != nil {
		return Rotated{}, err
	}
	defer r.keepUp(who)()
	secret, resumed, err := r.next(ctx, who)
	if err != nil {
		return Rotated{}, err
	}
	if err := config.CheckSecret(secret.Value, r.Form); err != nil {
		return Rotated{}, fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	all := r.after(secret, time.Now())
	return Rotated{Secrets: all, Resumed: resumed}, r.tell(ctx, all)
}

// mark waits for the mark of a run that was interrupted to end.
func (r *Rotator) mark(ctx context.Context, who string) error {
	r.Progress("marking the webhook as rotating")
	for deadline := time.Now().Add(MarkTTL + tryAgain); ; {
		free := true
		for _, b := range r.Boards {
			ours, err := b.Mark(ctx, who, MarkTTL)
			if err != nil {
				return err
			}
			free = free && ours
		}
		if free {
			return nil
		}
		if time.Now().After(deadline) {
			return ErrBusy
		}
		if err := sleep(ctx, tryAgain); err != nil {
			return err
		}
	}
}

// keepUp renews the marks until the result is called. A board that fails shows
// when it is told.
func (r *Rotator) keepUp(who string) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var renewing sync.WaitGroup
	renewing.Go(func() {
		for sleep(ctx, MarkTTL/3) == nil {
			for _, b := range r.Boards {
				_ = briefly(ctx, func(ctx context.Context) error {
					_, err := b.Mark(ctx, who, MarkTTL)
					return err
				})
			}
		}
	})
	return func() { cancel(); renewing.Wait() }
}

// unmark is for every end. What it fails to take away ends by itself.
func (r *Rotator) unmark(who string) {
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	for _, b := range r.Boards {
		_ = b.Unmark(ctx, who)
	}
}

// next is the secret that the platform uses from now on. Before it is asked for a
// new one, every replica has seen the mark; one that it uses already is not waited
// with.
func (r *Rotator) next(ctx context.Context, who string) (secret config.WebhookSecret, resumed bool, err error) {
	if _, secret, resumed, err = r.look(ctx); err != nil || resumed {
		return secret, resumed, err
	}
	r.Progress("waiting until every replica has seen that a rotation is under way")
	if err := sleep(ctx, Settle); err != nil {
		return secret, false, err
	}
	// Again: what an interrupted run asked for may have come through meanwhile.
	current, secret, resumed, err := r.look(ctx)
	if err != nil || resumed {
		return secret, resumed, err
	}
	if err := r.confirm(ctx, who); err != nil {
		return secret, false, err
	}
	r.Progress("asking the platform for a new secret")
	// From here on its answer is needed, whoever has gone: it uses the secret at once.
	issued, err := r.Platform.Rotate(context.WithoutCancel(ctx), current)
	return config.WebhookSecret{Value: config.Secret(issued)}, false, err
}

// confirm makes sure that the marks are still up for long enough, and still ours: a
// process that was suspended may have lost them to another.
func (r *Rotator) confirm(ctx context.Context, who string) error {
	for _, b := range r.Boards {
		ours, err := b.Mark(ctx, who, MarkTTL)
		if err != nil {
			return err
		}
		if !ours {
			return ErrBusy
		}
	}
	return ctx.Err()
}

// look reads the webhook at the platform. With untold, secret is the one that it
// uses, and not everybody was told.
func (r *Rotator) look(ctx context.Context) (current awareid.Webhook, secret config.WebhookSecret, untold bool, err error) {
	if current, err = r.Platform.Webhook(ctx, r.Webhook); err != nil || current.Secret == "" {
		return current, secret, false, err
	}
	secret.Value = config.Secret(current.Secret)
	untold = indexOf(r.Known, secret) < 0
	for _, b := range r.Boards {
		lacks, err := b.Lacks(ctx, secret, r.Known)
		if err != nil {
			return current, secret, false, err
		}
		untold = untold || lacks
	}
	if untold {
		r.Progress("the platform uses a secret that was not told everywhere: telling that one")
	}
	return current, secret, untold, nil
}

// after are the secrets behind the rotation. Ends have whole seconds, as they are
// configured.
func (r *Rotator) after(secret config.WebhookSecret, now time.Time) []config.WebhookSecret {
	end := now.Add(r.KeepOld).UTC().Truncate(time.Second)
	all := []config.WebhookSecret{secret}
	for _, s := range r.Known {
		if Same(s, secret) {
			continue
		}
		if s.NotAfter.IsZero() || s.NotAfter.After(end) {
			s.NotAfter = end
		}
		all = append(all, s)
	}
	return all
}

// tell tries each board until it is told or the time is over: the more of them
// know, the fewer callbacks are lost. None waits for another.
func (r *Rotator) tell(ctx context.Context, all []config.WebhookSecret) error {
	r.Progress("telling the new secret")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tellTimeout)
	defer cancel()
	now := time.Now()
	n := Notice{At: latest(now, r.Told.Add(time.Millisecond)), Secrets: all}
	under := append([]config.WebhookSecret{all[0]}, live(r.Known, now)...)
	errs := make([]error, len(r.Boards))
	var telling sync.WaitGroup
	for i, b := range r.Boards {
		telling.Go(func() { errs[i] = tellOne(ctx, b, n, under) })
	}
	telling.Wait()
	return errors.Join(errs...)
}

func tellOne(ctx context.Context, b Board, n Notice, under []config.WebhookSecret) error {
	for {
		err := briefly(ctx, func(ctx context.Context) error { return b.Tell(ctx, n, under) })
		if err == nil {
			return nil
		}
		if sleep(ctx, tryAgain) != nil {
			return fmt.Errorf("%w: %w", ErrUntold, err)
		}
	}
}

// briefly bounds one try.
func briefly(ctx context.Context, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	return try(ctx)
}

func latest(a, b time.Time) time.Time { return slices.MaxFunc([]time.Time{a, b}, time.Time.Compare) }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
