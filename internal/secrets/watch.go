package secrets

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/store"
)

// How often a watcher looks, and how long it waits for Redis.
const (
	lookEvery    = time.Second
	lookRotating = 100 * time.Millisecond // while a rotation is under way
	lookTimeout  = time.Second
)

// MarkTTL is how long a mark stays that nobody keeps up.
const MarkTTL = 15 * time.Second

// Reader tells how far the rotations of webhooks are, at the same index for each.
type Reader interface {
	Rotations(ctx context.Context, webhooks []string) ([]store.RotationState, error)
}

// Target is told what is in force. Each method is called for one webhook at a
// time; an error, which holds no secret, says that the ones of before stay.
type Target interface {
	SetSecrets(webhookID string, secrets []config.WebhookSecret) error
	SetRotating(webhookID string, rotating bool)
}

// Options of a Watcher.
type Options struct {
	Webhooks []config.Webhook // with the secrets that Target has at the start
	Form     string           // SECRET_FORM, for files that are read again
	Files    []File           // further files, of no webhook's secrets
	Reader   Reader           // nil: files alone
	Target   Target
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// Watcher keeps a Target at what files and Redis say. What cannot be read, or is
// no list of secrets, changes nothing.
type Watcher struct {
	opts     Options
	ids      []string
	webhooks []*watched
	files    []*watchedFile
	away     bool // Redis did not answer last time
	metrics  *watcherMetrics
}

// watched is one webhook.
type watched struct {
	config.Webhook // its secrets as they are configured now
	told           Notice
	sealed         []byte // what told was opened from, or what could not be
	inForce        []config.WebhookSecret
	taken          []config.WebhookSecret // of those told, what Target took last
	refused        []config.WebhookSecret // what Target would not take
	rotating       bool
	markSeen       time.Time // when Redis last showed a mark
}

// NewWatcher returns a watcher that has not looked yet.
func NewWatcher(o Options) *Watcher {
	w := &Watcher{opts: o, metrics: newWatcherMetrics(o.Metrics)}
	for _, hook := range o.Webhooks {
		w.ids = append(w.ids, hook.ID)
		w.webhooks = append(w.webhooks, &watched{Webhook: hook, inForce: hook.Secrets})
	}
	for _, f := range o.Files {
		w.files = append(w.files, &watchedFile{File: f})
	}
	return w
}

// Run looks until the context ends.
func (w *Watcher) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(w.Look(ctx))
		}
	}
}

// Look puts in force what is there now, and returns when to look again. Call it
// before the gateway takes callbacks: with the configuration of before it may not
// know the current secret yet. It is not for concurrent use, nor beside Run.
func (w *Watcher) Look(ctx context.Context) time.Duration {
	w.readFiles()
	states := w.readStates(ctx)
	next := lookEvery
	for i, h := range w.webhooks {
		now := time.Now()
		// Marks are read ahead of the secrets that are there when they go.
		marked := h.SecretsFile != "" && FileBoard{Path: h.SecretsFile}.marked(now)
		w.readFile(h)
		if states != nil {
			w.readTold(h, states[i], now)
		}
		w.enforce(h, now)
		// Behind the secrets: who is held has been judged by them then.
		if w.setRotating(h, marked, now); h.rotating {
			next = lookRotating
		}
	}
	return next
}

// readStates returns nil where Redis does not answer.
func (w *Watcher) readStates(ctx context.Context) []store.RotationState {
	if w.opts.Reader == nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	states, err := w.opts.Reader.Rotations(asking, w.ids)
	if err != nil && ctx.Err() != nil {
		return nil // a stop says nothing of Redis
	}
	if err != nil && !w.away {
		w.opts.Log.Warn("a rotation of secrets would not be noticed: Redis does not answer", "error", err)
	}
	w.away = err != nil
	for _, id := range w.ids {
		w.metrics.unread(id, sourceRedis, w.away)
	}
	return states
}

func (w *Watcher) readFile(h *watched) {
	if h.SecretsFile == "" {
		return
	}
	secrets, err := config.ReadSecretsFile(h.SecretsFile, w.opts.Form)
	if w.metrics.unread(h.ID, sourceFile, err != nil) && err != nil {
		w.opts.Log.Error("the secrets file cannot be used: the secrets of before stay in force", "webhook", h.ID, "error", err)
	}
	if err == nil {
		h.Secrets = secrets
	}
}

// readTold opens what was told, once, with the secrets that are in force and have
// not ended. It never goes back to an older notice, and forgets none.
func (w *Watcher) readTold(h *watched, state store.RotationState, now time.Time) {
	if state.Marked {
		h.markSeen = now
	} else {
		h.markSeen = time.Time{}
	}
	if state.Told == nil || slices.Equal(state.Told, h.sealed) {
		return
	}
	notice, err := Open(state.Told, h.ID, live(h.inForce, now))
	w.metrics.unread(h.ID, sourceNotice, err != nil)
	h.sealed = state.Told
	switch {
	case err != nil:
		w.opts.Log.Error("what a rotation told cannot be used: the secrets of before stay in force", "webhook", h.ID, "error", err)
	case notice.At.After(h.told.At):
		h.told = notice
	}
}

// enforce tells the target where something has changed. What it refused is not
// tried again before it changes; what was told before, and what is configured, is
// in force then.
func (w *Watcher) enforce(h *watched, now time.Time) {
	wanted := InForce(h.Secrets, h.told.Secrets, now)
	if same(wanted, h.inForce) || same(wanted, h.refused) {
		return
	}
	err := w.use(h, wanted)
	if err == nil {
		h.taken, h.refused = h.told.Secrets, nil
		return
	}
	h.refused = wanted
	w.opts.Log.Error("new secrets cannot be used: without them it goes on", "webhook", h.ID, "error", err)
	for _, told := range [][]config.WebhookSecret{h.taken, nil} {
		all := InForce(h.Secrets, told, now)
		if same(all, h.inForce) || !same(all, wanted) && w.use(h, all) == nil {
			return
		}
	}
}

func (w *Watcher) use(h *watched, all []config.WebhookSecret) error {
	if err := w.opts.Target.SetSecrets(h.ID, all); err != nil {
		return err
	}
	h.inForce, h.sealed = all, nil // another notice may open now
	w.metrics.changes.WithLabelValues(h.ID).Inc()
	w.opts.Log.Info("other secrets are in force", "webhook", h.ID, "keys", idsOf(all))
	if unconfigured := all[len(h.Secrets):]; len(unconfigured) > 0 {
		w.opts.Log.Warn("secrets are in force that only a rotation told: configure them, for Redis keeps them for a limited time",
			"webhook", h.ID, "keys", idsOf(unconfigured))
	}
	return nil
}

func same(a, b []config.WebhookSecret) bool { return slices.EqualFunc(a, b, equal) }

func equal(a, b config.WebhookSecret) bool {
	return a.Value == b.Value && a.NotAfter.Equal(b.NotAfter)
}

// setRotating goes by the marker of a file, or by the last mark that was seen in
// Redis: where that does not answer now, for as long as a mark stays by itself.
func (w *Watcher) setRotating(h *watched, marked bool, now time.Time) {
	rotating := marked || now.Sub(h.markSeen) < MarkTTL
	if rotating == h.rotating {
		return
	}
	h.rotating = rotating
	w.metrics.setRotating(h.ID, rotating)
	w.opts.Target.SetRotating(h.ID, rotating)
	w.opts.Log.Info("rotation of the secret", "webhook", h.ID, "under_way", rotating)
}
