// Package backfill closes the holes that lost callbacks leave: it asks the
// platform's event-data API for transaction numbers that have not come, and hands
// the events to dispatch, where a claim decides as for every other event. Section
// 6 of the design is the source of the rules.
//
// # What it does by itself
//
// A number that is missing for the grace is asked for, in batches, lowest first,
// by one replica at a time. A batch that is not full waits for three intervals more,
// so that there is about one request for a hundred numbers. What does not come
// back is asked for again after a growing wait, and in the end listed as
// unrecoverable; it may still come late, and then it is off the list.
//
// One bad number does not stop the others. Where the platform has no usable answer
// for a number even alone, that has not come back. Where five alone have none, and
// no request is answered, it is the webhook or the platform, and the others wait.
// A number to which the platform answers 5xx is found round by round.
//
// When under half of at least 100 numbers that were asked for the first time came
// back, the numbers are not dense, or not ours: filling pauses for that webhook,
// for 10 minutes and then twice as long each time in a row, up to a day. After a
// pause one batch decides again; [Backfiller.Resume] ends it by hand. All of this is in the
// store, and survives a restart.
//
// # What is trusted
//
// TLS vouches for the platform, so an event need not be encrypted. It must carry a
// number that was asked for in the same request, once with its type; everything else that an
// answer holds is refused, counted by reason, and its number counts as not
// returned. Age is no reason: dispatch looks in Kafka for an event that is older
// than the store remembers.
//
// # Limits
//
// A lost number shows when a larger one comes: what was lost last of all is not
// missed until then. What comes before the first number that was ever seen is not
// missed at all. Both can be fetched by hand.
//
// A callback whose number lies far above all others makes whatever is between them
// missing, up to pauses that do not end. [Backfiller.Restart] is the way back.
//
// Whoever leads may be cut off in the middle of a batch; the next one repeats it,
// and the claims make duplicates of what was done. A store that loses its memory
// forgets what was missing, and begins with the next number that comes. Nothing
// here waits on the way of a callback; at most 16 events at a time are on their
// way to Kafka.
package backfill

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
)

// Platform is asked for events. See awareid.Client for its promises.
type Platform interface {
	EventData(ctx context.Context, webhookID string, numbers []string) iter.Seq2[awareid.Batch, error]
}

// Dispatcher takes events. See dispatch.Dispatcher for its promises.
type Dispatcher interface {
	Dispatch(ctx context.Context, in dispatch.Inbound) (dispatch.Outcome, error)
	Ready(ctx context.Context) error
}

// Numbers remembers which numbers have come and which have not. See store.Redis
// for its promises.
type Numbers interface {
	SeeFetched(ctx context.Context, seen []event.Number) error
	Due(ctx context.Context, webhook string, grace time.Duration, limit int) (event.Due, error)
	Postpone(ctx context.Context, webhook string, all []event.Postponement) error
	Gaps(ctx context.Context, webhook string, kind event.GapKind, from uint64, limit int) ([]event.Gap, error)
	Numbers(ctx context.Context, webhook string) (event.Numbers, error)
	SetPace(ctx context.Context, webhook string, pace event.Pace) error
	Forget(ctx context.Context, webhook string) (event.Numbers, error)
}

// Leader lets one replica at a time do a task. See store.Redis for its promises.
type Leader interface {
	Lead(ctx context.Context, task, who string, lease time.Duration) (bool, error)
}

// Webhook is one registration at the platform.
type Webhook struct {
	Name   string // in the configuration; "" for the single webhook
	ID     string
	Opener *decrypt.Opener // with the secrets of the start; see Backfiller.SetSecrets
}

// Options of a Backfiller.
type Options struct {
	Webhooks   []Webhook
	Platform   Platform
	Dispatcher Dispatcher
	Numbers    Numbers
	Leader     Leader // nil: this is the only replica

	Grace    time.Duration // that a missing number is waited for
	Interval time.Duration // between two looks; more than 0
	Batch    int           // numbers in one request
	Attempts int           // requests for a number
	MaxAhead time.Duration // that an event's creation may lie ahead of our clock

	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none
	Now     func() time.Time      // nil: time.Now
}

// Backfiller is safe for concurrent use.
type Backfiller struct {
	opts    Options
	who     string // as a leader
	hooks   []*hook
	metrics metrics
}

// hook is a webhook, and how the last rounds for it went.
type hook struct {
	Webhook
	opener    atomic.Pointer[decrypt.Opener]
	failures  int
	notBefore time.Time
	narrowing narrowing
}

// New returns a Backfiller that does nothing by itself until Run.
func New(opts Options) *Backfiller {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	b := &Backfiller{opts: opts, who: rand.Text(), metrics: newMetrics(opts.Metrics)}
	for _, w := range opts.Webhooks {
		h := &hook{Webhook: w}
		h.opener.Store(w.Opener)
		b.hooks = append(b.hooks, h)
	}
	return b
}

// SetSecrets opens the events of a webhook, if it is one of these, with other
// secrets from now on.
func (b *Backfiller) SetSecrets(webhookID string, values []string) {
	for _, h := range b.hooks {
		if h.ID == webhookID {
			h.opener.Store(h.opener.Load().With(values))
		}
	}
}

// SetPrivateKeys opens wrapped keys with other private keys from now on, or, where it
// refuses one because it is under 2048 bits, changes nothing. It must not be called beside SetSecrets.
func (b *Backfiller) SetPrivateKeys(private []*rsa.PrivateKey) error {
	next := make([]*decrypt.Opener, len(b.hooks))
	for i, h := range b.hooks {
		var err error
		if next[i], err = h.opener.Load().WithPrivateKeys(private); err != nil {
			return err
		}
	}
	for i, h := range b.hooks {
		h.opener.Store(next[i])
	}
	return nil
}

// task is the name under which replicas agree on who fills holes.
const task = "backfill"

// minLease keeps a lease from ending between two looks of a slow machine.
const minLease = time.Second

func (b *Backfiller) lease() time.Duration { return max(3*b.opts.Interval, minLease) }

// Run fills holes until the context ends, whenever this replica leads. What it has
// begun to dispatch then it still waits for.
func (b *Backfiller) Run(ctx context.Context) {
	defer b.abdicate(ctx)
	ticker := time.NewTicker(b.opts.Interval)
	defer ticker.Stop()
	for {
		b.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look shows how things are, and lets the leader fill holes.
func (b *Backfiller) look(ctx context.Context) {
	for _, h := range b.hooks {
		if sums, err := b.opts.Numbers.Numbers(ctx, h.ID); err == nil {
			b.metrics.show(h.ID, sums)
		}
	}
	leading, end := b.lead(ctx)
	defer end()
	if leading == nil {
		return
	}
	var rounds sync.WaitGroup
	for _, h := range b.hooks {
		rounds.Go(func() { b.round(leading, h) })
	}
	rounds.Wait()
}

// lead returns a context that lasts as long as this replica leads, nil if it does
// not. The lease is renewed until end is called.
func (b *Backfiller) lead(ctx context.Context) (leading context.Context, end func()) {
	if !b.renew(ctx) {
		return nil, func() {}
	}
	leading, lost := context.WithCancel(ctx)
	if b.opts.Leader == nil {
		return leading, lost
	}
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(b.lease() / 3)
		defer ticker.Stop()
		for {
			select {
			case <-leading.Done():
				return
			case <-ticker.C:
			}
			if !b.renew(leading) {
				lost()
			}
		}
	})
	return leading, func() { lost(); renewing.Wait() }
}

func (b *Backfiller) renew(ctx context.Context) bool {
	leads, err := true, error(nil)
	if b.opts.Leader != nil {
		leads, err = b.opts.Leader.Lead(ctx, task, b.who, b.lease())
	}
	if err != nil && ctx.Err() == nil {
		b.opts.Log.Warn("backfill: it is unknown who leads", "error", err)
	}
	b.metrics.lead(leads && err == nil)
	return leads && err == nil
}

// abdicateTimeout bounds the last word to the store.
const abdicateTimeout = 2 * time.Second

// abdicate lets another replica go on at once.
func (b *Backfiller) abdicate(ctx context.Context) {
	b.metrics.lead(false)
	if b.opts.Leader == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abdicateTimeout)
	defer cancel()
	if leads, err := b.opts.Leader.Lead(ctx, task, b.who, 0); err != nil || !leads {
		b.opts.Log.Debug("backfill: there was nothing to hand over", "error", err)
	}
}

// ErrUnknownWebhook says that no webhook has this name.
var ErrUnknownWebhook = errors.New("no webhook of this name is configured")

// find returns the webhook of a name, or the only one for "".
func (b *Backfiller) find(name string) (*hook, error) {
	for _, h := range b.hooks {
		if h.Name == name || h.ID == name {
			return h, nil
		}
	}
	if name == "" && len(b.hooks) == 1 {
		return b.hooks[0], nil
	}
	return nil, ErrUnknownWebhook
}

func (b *Backfiller) choose(name string) ([]*hook, error) {
	if name == "" {
		return b.hooks, nil
	}
	h, err := b.find(name)
	return []*hook{h}, err
}
