package secrets_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/secrets"
	"awareid-gateway/internal/store"
)

var errAway = errors.New("away")

// fakeRedis keeps the rotation of one webhook, by the clock of its bubble.
type fakeRedis struct {
	mu    sync.Mutex
	who   string
	until time.Time
	told  []byte
	away  bool
	mute  bool // refuses what is told
}

func (f *fakeRedis) set(change func(*fakeRedis)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeRedis) MarkRotation(_ context.Context, _, who string, ttl time.Duration) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return false, errAway
	}
	if f.who != who && time.Now().Before(f.until) {
		return false, nil
	}
	f.who, f.until = who, time.Now().Add(ttl)
	return true, nil
}

func (f *fakeRedis) UnmarkRotation(_ context.Context, _, who string) error {
	f.set(func(f *fakeRedis) {
		if f.who == who {
			f.until = time.Time{}
		}
	})
	return nil
}

func (f *fakeRedis) TellRotation(_ context.Context, _ string, told []byte, _ time.Duration) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away || f.mute {
		return errAway
	}
	f.told = told
	return nil
}

func (f *fakeRedis) Rotations(context.Context, []string) ([]store.RotationState, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errAway
	}
	return []store.RotationState{{Marked: time.Now().Before(f.until), Told: f.told}}, nil
}

func (f *fakeRedis) marked() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Now().Before(f.until)
}

// target notes what it is told.
type target struct {
	mu       sync.Mutex
	now      []config.WebhookSecret
	sets     int
	rotating bool
	refuse   error
	refuses  config.Secret // a list with it
	steps    []string
}

func (g *target) SetSecrets(_ string, all []config.WebhookSecret) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.sets++
	if g.refuse != nil {
		return g.refuse
	}
	if g.refuses != "" && slices.ContainsFunc(all, func(s config.WebhookSecret) bool { return s.Value == g.refuses }) {
		return errAway
	}
	g.now = all
	g.steps = append(g.steps, "secrets")
	return nil
}

func (g *target) SetRotating(_ string, rotating bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rotating = rotating
	g.steps = append(g.steps, map[bool]string{true: "begin", false: "end"}[rotating])
}

func (g *target) read() (now []config.WebhookSecret, rotating bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.now, g.rotating
}

// platform is one webhook at the platform.
type platform struct {
	mu       sync.Mutex
	secret   config.Secret
	untold   bool // its secret is not shown
	asked    int
	onRotate func() // once the new secret is in use, ahead of the answer
	fail     error  // in place of the answer
	chooses  config.Secret
}

func (p *platform) Webhook(context.Context, string) (awareid.Webhook, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := awareid.Webhook{ID: webhook, Secret: awareid.Secret(p.secret)}
	if p.untold {
		w.Secret = ""
	}
	return w, nil
}

func (p *platform) Rotate(ctx context.Context, _ awareid.Webhook) (awareid.Secret, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	p.secret = cmp.Or(p.chooses, secretOf(string(rune('!'+('m'-'!'+p.asked)%90)))) // n, o, …
	if p.onRotate != nil {
		p.onRotate()
	}
	if err := cmp.Or(p.fail, ctx.Err()); err != nil {
		return "", err
	}
	return awareid.Secret(p.secret), nil
}

// watcher is a Watcher with what it works on.
type watcher struct {
	*secrets.Watcher
	target *target
	log    *bytes.Buffer
}

func newWatcher(file string, reader secrets.Reader, letters ...string) *watcher {
	w := &watcher{target: &target{now: listOf(letters...)}, log: &bytes.Buffer{}}
	w.Watcher = secrets.NewWatcher(secrets.Options{
		Webhooks: []config.Webhook{{ID: webhook, Secrets: listOf(letters...), SecretsFile: file}},
		Form:     config.FormAuto, Reader: reader, Target: w.target,
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Metrics: prometheus.NewRegistry(),
	})
	return w
}

func (w *watcher) requireSecrets(t *testing.T, want []config.WebhookSecret) {
	t.Helper()
	now, _ := w.target.read()
	require.Equal(t, config.FormatSecrets(want).Reveal(), config.FormatSecrets(now).Reveal())
}

func ended(at time.Time, s config.WebhookSecret) config.WebhookSecret {
	s.NotAfter = at
	return s
}

func reversed(all []config.WebhookSecret) []config.WebhookSecret {
	all = slices.Clone(all)
	slices.Reverse(all)
	return all
}
