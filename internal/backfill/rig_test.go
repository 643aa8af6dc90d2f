package backfill_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/awareid"
	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/decrypt"
	"awareid-gateway/internal/dispatch"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/store"
)

const (
	hookID   = "0123456789abcdef0123456789abcdef"
	grace    = time.Minute
	interval = 5 * time.Second
)

// platform is one that answers as it is told.
type platform struct {
	mu    sync.Mutex
	lacks func(number string) bool // nil: it knows all
	err   error
	fails func(numbers []string) error // nil: never
	hangs bool
	calls [][]string
}

// EventData halves as awareid.Client does.
func (p *platform) EventData(ctx context.Context, webhookID string, numbers []string) iter.Seq2[awareid.Batch, error] {
	return func(yield func(awareid.Batch, error) bool) {
		p.mu.Lock()
		p.calls = append(p.calls, numbers)
		lacks, err, hangs := p.lacks, p.err, p.hangs
		if err == nil && p.fails != nil {
			err = p.fails(numbers)
		}
		p.mu.Unlock()
		if hangs {
			<-ctx.Done()
			err = ctx.Err()
		}
		batch := awareid.Batch{Numbers: numbers}
		for _, n := range slices.Backward(numbers) { // an order of its own
			if err == nil && (lacks == nil || !lacks(n)) {
				batch.Bodies = append(batch.Bodies, body(n, time.Now()))
			}
		}
		if half := len(numbers) / 2; half == 0 || !awareid.OfNumbers(err) {
			yield(batch, err)
			return
		}
		for some := range slices.Chunk(numbers, (len(numbers)+1)/2) {
			for batch, err := range p.EventData(ctx, webhookID, some) {
				if !yield(batch, err) {
					return
				}
			}
		}
	}
}

func (p *platform) set(change func(*platform)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *platform) asked() [][]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

func body(number string, created time.Time) []byte {
	return fmt.Appendf(nil, `{"id":"event-%s","type":"enrollment.started","created":%q,"operationToken":"op-%s","transactionNum":%q}`,
		number, created.Format(time.RFC3339), number[:1], number)
}

// kafka is a dispatcher that keeps what it gets.
type kafka struct {
	mu     sync.Mutex
	err    error
	waits  error // for another replica
	got    []dispatch.Inbound
	result dispatch.Outcome // "": by what it got before
}

func (k *kafka) Dispatch(ctx context.Context, in dispatch.Inbound) (dispatch.Outcome, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := errors.Join(k.err, ctx.Err()); err != nil {
		return "", err
	}
	before := slices.ContainsFunc(k.got, func(o dispatch.Inbound) bool { return o.Event.ID == in.Event.ID })
	k.got = append(k.got, in)
	switch {
	case k.result != "":
		return k.result, nil
	case before:
		return dispatch.Duplicate, nil
	}
	return dispatch.Accepted, nil
}

func (k *kafka) Ready(context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.waits
}

func (k *kafka) fail(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err = err
}

func (k *kafka) ids() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []string
	for _, in := range k.got {
		all = append(all, in.Event.ID)
	}
	return all
}

// rig is a backfiller with everything around it.
type rig struct {
	*testing.T
	platform *platform
	kafka    *kafka
	numbers  *store.File
	registry *prometheus.Registry
	log      *bytes.Buffer
	opts     backfill.Options
	*backfill.Backfiller
}

func newRig(t *testing.T, changes ...func(*backfill.Options)) *rig {
	numbers, err := store.OpenFile(filepath.Join(t.TempDir(), "gateway.db"), time.Now)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, numbers.Close()) })
	opener, err := decrypt.New(decrypt.Options{})
	require.NoError(t, err)
	r := &rig{T: t, platform: &platform{}, kafka: &kafka{}, numbers: numbers, registry: prometheus.NewRegistry(), log: &bytes.Buffer{}}
	r.opts = backfill.Options{
		Webhooks: []backfill.Webhook{{ID: hookID, Opener: opener}},
		Platform: r.platform, Dispatcher: r.kafka, Numbers: numbers,
		Grace: grace, Interval: interval, Batch: 100, Attempts: 3, MaxAhead: 5 * time.Minute,
		Log: slog.New(slog.NewTextHandler(r.log, nil)), Metrics: r.registry,
	}
	for _, change := range changes {
		change(&r.opts)
	}
	r.Backfiller = backfill.New(r.opts)
	return r
}

// begin lets it run until the end of the test, or until end is called.
func (r *rig) begin() (end func()) {
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan struct{})
	go func() { defer close(done); r.Backfiller.Run(ctx) }()
	end = sync.OnceFunc(func() { cancel(); <-done })
	r.Cleanup(end)
	return end
}

// came has numbers come, all from first to last but those that are left out.
func (r *rig) came(first, last uint64, but ...uint64) {
	r.Helper()
	var seen []event.Number
	for n := first; n <= last; n++ {
		if !slices.Contains(but, n) {
			seen = append(seen, event.Number{Webhook: hookID, N: n})
		}
	}
	require.NoError(r, r.numbers.See(r.Context(), seen))
}

func (r *rig) status() backfill.Status {
	r.Helper()
	all, err := r.Status(r.Context(), "")
	require.NoError(r, err)
	return all[0]
}

// wantMetric wants a metric of the webhook, or that of the leader, to have a value.
func (r *rig) wantMetric(name, labels string, value float64) {
	r.Helper()
	line := fmt.Sprintf("%s{%swebhook=%q} %v\n", name, labels, hookID, value)
	if name == "gateway_backfill_leader" {
		line = fmt.Sprintf("%s %v\n", name, value)
	}
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(r.registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	require.Contains(r, answer.Body.String(), "\n"+line)
}

func sorted(all []string) []string { return slices.Sorted(slices.Values(all)) }

// failOn fails requests for any of these numbers with a status.
func failOn(status int, bad ...string) func([]string) error {
	return func(numbers []string) error {
		if slices.ContainsFunc(numbers, func(n string) bool { return slices.Contains(bad, n) }) {
			return &awareid.Error{Status: status}
		}
		return nil
	}
}

func giveUp(n uint64) []event.Postponement {
	return []event.Postponement{{First: n, Last: n, GiveUp: true}}
}
