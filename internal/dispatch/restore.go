package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/event"
)

// History is what Kafka has.
type History interface {
	// Places lists the partitions of all topics.
	Places(ctx context.Context) ([]event.Place, error)
	// Empty says that no record was ever written to any of them.
	Empty(ctx context.Context) (bool, error)
	// Scan reads a partition from the first record that is as young as since,
	// to the first that is as young as until; where that is zero, to the
	// partition's end at the time of the call, with all that any attempt which
	// is over has written.
	Scan(ctx context.Context, at event.Place, since, until time.Time, each func(RecordHead) error) error
}

const (
	restoreTask  = "restore"
	restoreLease = 10 * time.Second
	restorePause = time.Second
	restoreBatch = 512
	// restorer is the token of claims that are made for what Kafka has.
	restorer = "restored"
)

var errFollower = errors.New("another replica restores it")

// restore gives a store that has lost its memory back what Kafka knows, the
// latest first. One replica does it for all.
type restore struct {
	memory  *memory
	history History
	claims  Store
	who     string
	terms   event.Terms
	// over is how long after a memory was lost the last attempt of a claim in
	// it ends.
	over     time.Duration
	now      func() time.Time
	failed   func(ctx context.Context, err error) // told of the store's errors
	log      *slog.Logger
	restored prometheus.Counter
	aliases  bool // are in use

	wake   chan struct{}
	looked chan struct{} // closed after the first step that succeeded
	stop   context.CancelFunc
	ended  chan struct{}
	leads  bool
}

// keepStep is what the time to keep a restored claim is rounded up to: a store is told of
// those that have the same in one go.
const keepStep = time.Minute

func (r *restore) start() {
	ctx, stop := context.WithCancel(context.Background())
	r.stop, r.ended = stop, make(chan struct{})
	go func() {
		defer close(r.ended)
		r.first(ctx)
		for ctx.Err() == nil {
			r.work(ctx)
		}
	}()
}

// first repeats the first step until it succeeds: while the gateway starts, its
// topics may not be there yet.
func (r *restore) first(ctx context.Context) {
	defer close(r.looked)
	for backoff := firstBackoff; ; backoff = min(2*backoff, restorePause) {
		if _, err := r.step(ctx); err == nil || !pause(ctx, backoff) {
			return
		}
	}
}

func (r *restore) close() {
	r.stop()
	<-r.ended
	if r.leads {
		ctx, cancel := context.WithTimeout(context.Background(), restorePause)
		defer cancel()
		_, _ = r.memory.store.Lead(ctx, restoreTask, r.who, 0) // else another waits for the lease
	}
}

// work restores what there is to restore, and then waits for more.
func (r *restore) work(ctx context.Context) {
	more, err := r.step(ctx)
	switch {
	case err != nil:
		if ctx.Err() == nil {
			r.log.Debug("the store's memory is not restored yet", "error", err)
		}
		pause(ctx, restorePause)
	case more:
	default:
		select {
		case <-r.wake:
		case <-ctx.Done():
		}
	}
}

// reaches are how far back the memory goes after each step.
func (r *restore) reaches() []time.Duration {
	return []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour, r.terms.Keep}
}

// step restores a piece of the memory, and says whether there may be more.
func (r *restore) step(ctx context.Context) (more bool, err error) {
	if err := r.memory.learn(ctx); err != nil {
		r.failed(ctx, err)
		return false, err
	}
	m, since := r.memory.state()
	if m.Reach >= r.terms.Keep {
		return false, nil
	}
	leads, err := r.memory.store.Lead(ctx, restoreTask, r.who, restoreLease)
	r.leads = leads
	if err != nil {
		return false, err
	}
	if !leads {
		return false, errFollower
	}
	if m.Reach == 0 {
		empty, err := r.history.Empty(ctx)
		if err != nil {
			return false, err
		}
		if empty {
			return r.note(ctx, m.ID, r.terms.Keep)
		}
		if wait := since.Add(r.over).Sub(r.now()); wait > 0 {
			pause(ctx, min(wait, restorePause))
			return true, ctx.Err()
		}
		r.log.Warn("the store may have lost some of its memory; it is restored from Kafka", "since", since)
	}
	reach := r.next(m.Reach)
	if err := r.read(ctx, m, since, reach); err != nil {
		return false, err
	}
	return r.note(ctx, m.ID, reach)
}

func (r *restore) next(reach time.Duration) time.Duration {
	for _, longer := range r.reaches() {
		if longer > reach {
			return min(longer, r.terms.Keep)
		}
	}
	return r.terms.Keep
}

func (r *restore) note(ctx context.Context, id string, reach time.Duration) (bool, error) {
	if _, err := r.memory.store.Restored(ctx, id, reach); err != nil {
		return false, err
	}
	r.log.Debug("the store remembers", "back", reach)
	return true, r.memory.learn(ctx)
}

// read tells the store of all records between two reaches.
func (r *restore) read(ctx context.Context, m event.Memory, since time.Time, reach time.Duration) error {
	places, err := r.history.Places(ctx)
	if err != nil {
		return err
	}
	until := time.Time{}
	if m.Reach > 0 {
		until = since.Add(-m.Reach)
	}
	for _, at := range places {
		if err := r.readPlace(ctx, at, since.Add(-reach), until); err != nil {
			return err
		}
	}
	return nil
}

func (r *restore) readPlace(ctx context.Context, at event.Place, since, until time.Time) error {
	var batch []event.Delivery
	tell := func() error {
		if len(batch) == 0 {
			return nil
		}
		if _, err := r.claims.Confirm(ctx, batch); err != nil {
			return err
		}
		r.restored.Add(float64(len(batch)))
		batch = batch[:0]
		_, err := r.memory.store.Lead(ctx, restoreTask, r.who, restoreLease)
		return err
	}
	err := r.history.Scan(ctx, at, since, until, func(p RecordHead) error {
		key, alias := pastNames(p.Headers)
		keep := r.terms.Keep - r.now().Sub(p.Time)
		if key == "" || keep < time.Second {
			return nil
		}
		if !r.aliases {
			alias = ""
		}
		batch = append(batch, event.Delivery{
			Key: key, Token: restorer, Read: true, Offset: p.Offset, Place: at, Keep: min(keep.Truncate(keepStep)+keepStep, r.terms.Keep),
			Alias: alias, Fetched: headerOf(p.Headers, headerOrigin) == string(Backfill),
		})
		if len(batch) < restoreBatch {
			return nil
		}
		return tell()
	})
	if err != nil {
		return err
	}
	return tell()
}

// pastNames are the claim key and the alias of what a record holds. The former is
// "" where this program did not write it, the latter where it has no number.
func pastNames(headers []event.Header) (key, alias string) {
	if digest := headerOf(headers, headerDigest); digest != "" {
		return suspectKey(headerOf(headers, headerWebhook), digest), ""
	}
	e, webhook, ours := event.Past(headers)
	if !ours {
		return "", ""
	}
	return e.ClaimKey(webhook), e.AliasKey(webhook)
}
