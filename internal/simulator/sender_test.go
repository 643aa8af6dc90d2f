package simulator_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// gateway is a receiver without fault, written from the contract with the
// standard library. Its flaws can be switched on.
type gateway struct {
	t *testing.T
	// before may answer in its place; it reports whether it did.
	before func(w http.ResponseWriter, attempt int) bool
	// blind takes forged posts too, forgetful every id anew.
	blind, forgetful bool

	mu       sync.Mutex
	attempts int
	digests  map[[sha256.Size]byte]bool
	order    map[string][]string // event ids by operation
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts++
	if g.before != nil && g.before(w, g.attempts) {
		return
	}
	given, _ := hex.DecodeString(r.Header.Get(simulator.DefaultSignatureHeader))
	if !hmac.Equal(given, mac(sha256.New, key(g.t), body)) {
		if g.blind {
			answer(w, 200, "accepted")
		} else {
			answer(w, 401, "")
		}
		return
	}
	plaintext := body
	if !bytes.Contains(body, []byte(`"operationToken"`)) {
		_, iv, p := openEnvelope(g.t, body)
		plaintext = []byte(openGCM(g.t, key(g.t), iv, p))
	}
	var e struct{ ID, OperationToken string }
	require.NoError(g.t, json.Unmarshal(plaintext, &e))
	digest := sha256.Sum256(plaintext)
	if g.digests[digest] && !g.forgetful {
		answer(w, 200, "duplicate")
		return
	}
	g.digests[digest] = true
	g.order[e.OperationToken] = append(g.order[e.OperationToken], e.ID)
	answer(w, 200, "accepted")
}

func answer(w http.ResponseWriter, status int, word string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"status": word})
}

// run sends to g and returns the sender when it is through.
func run(t *testing.T, g *gateway, o simulator.SenderOptions) (*simulator.Sender, simulator.Tally) {
	t.Helper()
	sender := newSender(t, g, o)
	tally, err := sender.Run(t.Context())
	require.NoError(t, err)
	return sender, tally
}

func newSender(t *testing.T, g *gateway, o simulator.SenderOptions) *simulator.Sender {
	t.Helper()
	g.t, g.digests, g.order = t, make(map[[sha256.Size]byte]bool), make(map[string][]string)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	o.Platform = newPlatform(t, simulator.PlatformOptions{})
	hook, err := o.Platform.Register(simulator.Webhook{
		Secret: secret, URL: server.URL, EncryptMessageBody: true, AddSignatureHeader: true,
	})
	require.NoError(t, err)
	o.WebhookID = hook.ID
	o.Generator = generator(t, simulator.GeneratorOptions{Seed: o.Seed})
	o.Backoff = time.Microsecond
	sender, err := simulator.NewSender(o)
	require.NoError(t, err)
	return sender
}

func TestSenderAddsUp(t *testing.T) {
	var g gateway
	heard := 0
	sender, tally := run(t, &g, simulator.SenderOptions{
		Seed:     3,
		Count:    1000,
		Rates:    simulator.Rates{Loss: 0.05, Repeat: 0.2, Reorder: 0.1, Tamper: 0.15},
		OnAnswer: func(simulator.Answer) { heard++ },
	})
	require.NoError(t, tally.Check())
	require.Equal(t, 1000, tally.Events)
	require.Equal(t, len(g.digests), tally.Expected())
	require.Equal(t, tally.Sent, heard)
	require.Equal(t, tally.Sent, g.attempts)
	require.Equal(t, tally.Sent, tally.Expected()+tally.Repeats+tally.Forged)
	require.Equal(t, tally.Repeats, tally.Duplicate)
	require.Equal(t, tally.Expected(), tally.Accepted)
	require.InDelta(t, 50, tally.Lost, 30)
	require.InDelta(t, 190, tally.Repeats, 60)
	require.InDelta(t, 140, tally.Forged, 50)
	require.InDelta(t, 70, tally.Reordered, 40)

	order, kinds := make(map[string][]string), make(map[simulator.Tampering]int)
	for _, d := range sender.Deliveries() {
		require.Equal(t, !d.Lost, d.Taken())
		require.Equal(t, !d.Lost, g.digests[d.Digest])
		if !d.Lost {
			order[d.OperationToken] = append(order[d.OperationToken], d.ID)
		}
		for _, a := range d.Answers {
			kinds[a.Tampering]++
			require.Equal(t, a.Kind == simulator.Forged, a.Outcome == simulator.Rejected)
		}
	}
	require.Equal(t, g.order, order, "the truth's order is the order of arrival")
	require.Len(t, kinds, 4, "each way to tamper, and none")
}

func TestSenderDoesTheSameForTheSameSeed(t *testing.T) {
	fates := func() []string {
		sender, _ := run(t, new(gateway), simulator.SenderOptions{
			Seed: 5, Count: 200, Rates: simulator.Rates{Loss: 0.2, Repeat: 0.2, Reorder: 0.2, Tamper: 0.2},
		})
		var all []string
		for _, d := range sender.Deliveries() {
			line := d.ID
			for _, a := range d.Answers {
				line += string(a.Tampering)
			}
			all = append(all, line)
		}
		slices.Sort(all) // operations run side by side
		return all
	}
	require.Equal(t, fates(), fates())
}

func TestSenderSendsInOrderUnlessToldNotTo(t *testing.T) {
	inversions := func(rate float64) (n, marked int) {
		sender, _ := run(t, new(gateway), simulator.SenderOptions{Count: 500, Rates: simulator.Rates{Reorder: rate}})
		last := make(map[string]int64)
		for _, d := range sender.Deliveries() {
			if d.TransactionNum < last[d.OperationToken] {
				n++
			}
			last[d.OperationToken] = d.TransactionNum
			if d.Reordered {
				marked++
			}
		}
		return n, marked
	}
	n, marked := inversions(0)
	require.Zero(t, n)
	require.Zero(t, marked)
	n, marked = inversions(0.3)
	require.Positive(t, n)
	require.Equal(t, n, marked)
}

func TestSenderJudgesAnswers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		status   int
		word     string
		attempts int
		want     func(*simulator.Tally) int
	}{
		{"accepted", 200, "accepted", 1, func(t *simulator.Tally) int { return t.Accepted }},
		{"duplicate", 200, "duplicate", 1, func(t *simulator.Tally) int { return t.Duplicate }},
		{"spooled", 202, "spooled", 1, func(t *simulator.Tally) int { return t.Spooled }},
		{"quarantined", 202, "quarantined", 1, func(t *simulator.Tally) int { return t.Quarantined }},
		{"word of another status", 202, "accepted", 1, func(t *simulator.Tally) int { return t.Failed }},
		{"no word", 200, "", 1, func(t *simulator.Tally) int { return t.Failed }},
		{"redirect", 307, "accepted", 1, func(t *simulator.Tally) int { return t.Failed }},
		{"unauthorized", 401, "", 1, func(t *simulator.Tally) int { return t.Rejected }},
		{"too large", 413, "", 1, func(t *simulator.Tally) int { return t.Rejected }},
		{"slow", 408, "", 3, func(t *simulator.Tally) int { return t.Failed }},
		{"too many", 429, "", 3, func(t *simulator.Tally) int { return t.Failed }},
		{"unavailable", 503, "", 3, func(t *simulator.Tally) int { return t.Failed }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := gateway{before: func(w http.ResponseWriter, _ int) bool {
				w.Header().Set("Location", "/elsewhere")
				answer(w, tt.status, tt.word)
				return true
			}}
			sender, tally := run(t, &g, simulator.SenderOptions{Count: 4, Attempts: 3})
			require.Equal(t, 4, tt.want(&tally))
			require.Equal(t, 4, tally.Sent)
			require.Equal(t, 4, tally.Accepted+tally.Duplicate+tally.Spooled+tally.Quarantined+tally.Rejected+tally.Failed)
			require.Equal(t, 4*tt.attempts, tally.Attempts)
			require.Equal(t, 4*tt.attempts, g.attempts)
			for _, d := range sender.Deliveries() {
				require.Len(t, d.Answers, 1)
				require.Equal(t, tt.status, d.Answers[0].Status)
			}
		})
	}
}

func TestSenderTriesAgain(t *testing.T) {
	for name, fail := range map[string]func(http.ResponseWriter){
		"503":               func(w http.ResponseWriter) { w.WriteHeader(503) },
		"429":               func(w http.ResponseWriter) { w.WriteHeader(429) },
		"broken connection": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			g := gateway{before: func(w http.ResponseWriter, attempt int) bool {
				if attempt%2 == 0 {
					return false
				}
				fail(w)
				return true
			}}
			_, tally := run(t, &g, simulator.SenderOptions{Count: 20, Concurrency: 1})
			require.NoError(t, tally.Check())
			require.Equal(t, 20, tally.Accepted)
			require.Equal(t, 40, tally.Attempts)
		})
	}
}

func TestSenderGivesUpOnASilentReceiver(t *testing.T) {
	silence := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-silence }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(silence) })
	platform := newPlatform(t, simulator.PlatformOptions{})
	hook, err := platform.Register(simulator.Webhook{URL: server.URL})
	require.NoError(t, err)
	sender, err := simulator.NewSender(simulator.SenderOptions{
		Platform: platform, WebhookID: hook.ID, Generator: generator(t, simulator.GeneratorOptions{}),
		Count: 1, Attempts: 2, Timeout: 20 * time.Millisecond, Backoff: time.Microsecond,
	})
	require.NoError(t, err)
	tally, err := sender.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, tally.Failed)
	require.Equal(t, 2, tally.Attempts)
	require.Error(t, sender.Deliveries()[0].Answers[0].Err)
}

func TestTallyNoticesAFaultyReceiver(t *testing.T) {
	for name, tt := range map[string]struct {
		gateway *gateway
		rates   simulator.Rates
		want    string
	}{
		"takes forged posts": {&gateway{blind: true}, simulator.Rates{Tamper: 0.5}, "forged posts taken"},
		"takes repeats":      {&gateway{forgetful: true}, simulator.Rates{Repeat: 0.5}, "events accepted twice"},
		"loses events": {&gateway{before: func(w http.ResponseWriter, attempt int) bool {
			if attempt != 50 {
				return false
			}
			w.WriteHeader(404)
			return true
		}}, simulator.Rates{}, "events taken: 199, want 200\nrejected posts: 1, want 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, tally := run(t, tt.gateway, simulator.SenderOptions{Count: 200, Rates: tt.rates})
			require.ErrorContains(t, tally.Check(), tt.want)
		})
	}
}

func TestSenderEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	g := gateway{before: func(_ http.ResponseWriter, attempt int) bool {
		if attempt == 100 {
			cancel()
		}
		return false
	}}
	sender := newSender(t, &g, simulator.SenderOptions{Rates: simulator.Rates{Repeat: 0.2, Reorder: 0.3}})
	tally, err := sender.Run(ctx)
	require.NoError(t, err)
	require.NoError(t, tally.Check())
	require.GreaterOrEqual(t, tally.Sent, 100)
	require.Equal(t, len(g.digests), tally.Events)
	require.Empty(t, sender.Deliveries(), "an endless run keeps the sums alone")
}

func TestSenderEndsWhenTheWebhookIsDeleted(t *testing.T) {
	c := newClient(t, simulator.PlatformOptions{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, "accepted") }))
	t.Cleanup(server.Close)
	hook, err := c.platform.Register(simulator.Webhook{URL: server.URL, Secret: secret})
	require.NoError(t, err)
	sender, err := simulator.NewSender(simulator.SenderOptions{
		Platform: c.platform, WebhookID: hook.ID, Generator: generator(t, simulator.GeneratorOptions{}),
		OnAnswer: func(simulator.Answer) { c.call("DELETE", registrations+"/"+hook.ID, "") },
	})
	require.NoError(t, err)
	_, err = sender.Run(t.Context())
	require.ErrorIs(t, err, simulator.ErrUnknownWebhook)
}

func TestSenderKeepsToItsRate(t *testing.T) {
	began := time.Now()
	_, tally := run(t, new(gateway), simulator.SenderOptions{Count: 11, PerSecond: 100})
	require.Equal(t, 11, tally.Accepted)
	require.GreaterOrEqual(t, time.Since(began), 95*time.Millisecond)
}

func TestLostEventsAreInEventDataAlone(t *testing.T) {
	var g gateway
	o := simulator.SenderOptions{Count: 3, Rates: simulator.Rates{Loss: 1}}
	sender, tally := run(t, &g, o)
	require.Equal(t, simulator.Tally{Events: 3, Lost: 3}, tally)
	require.Zero(t, g.attempts)
	require.Len(t, sender.Deliveries(), 3)
}

func TestNewSenderRefuses(t *testing.T) {
	platform := newPlatform(t, simulator.PlatformOptions{})
	hook, err := platform.Register(simulator.Webhook{URL: "http://127.0.0.1/"})
	require.NoError(t, err)
	good := simulator.SenderOptions{Platform: platform, WebhookID: hook.ID, Generator: generator(t, simulator.GeneratorOptions{})}
	for name, spoil := range map[string]func(*simulator.SenderOptions){
		"platform":  func(o *simulator.SenderOptions) { o.Platform = nil },
		"generator": func(o *simulator.SenderOptions) { o.Generator = nil },
		"webhook":   func(o *simulator.SenderOptions) { o.WebhookID = "x" },
		"rate":      func(o *simulator.SenderOptions) { o.Rates.Loss = 1.1 },
		"number":    func(o *simulator.SenderOptions) { o.Attempts = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			spoil(&o)
			_, err := simulator.NewSender(o)
			require.Error(t, err)
		})
	}
}

func TestForgedPostsLackTheAuthHeaderWhereNothingIsSigned(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("boc_key") != "boc_secret" {
			answer(w, 401, "")
			return
		}
		answer(w, 200, "accepted")
	}))
	t.Cleanup(server.Close)
	for _, tt := range []struct {
		header string
		forged int
	}{{"boc_key", 30}, {"", 0}} {
		platform := newPlatform(t, simulator.PlatformOptions{})
		hook, err := platform.Register(simulator.Webhook{URL: server.URL, AuthHeaderKey: tt.header, AuthHeaderValue: "boc_secret"})
		require.NoError(t, err)
		sender, err := simulator.NewSender(simulator.SenderOptions{
			Platform: platform, WebhookID: hook.ID, Generator: generator(t, simulator.GeneratorOptions{}),
			Count: 30, Rates: simulator.Rates{Tamper: 1},
		})
		require.NoError(t, err)
		tally, err := sender.Run(t.Context())
		require.NoError(t, err)
		require.Equal(t, tt.forged, tally.Forged)
		require.Zero(t, tally.ForgedTaken)
	}
}

// BenchmarkSender is the pace that the stand-in can keep up on one connection pool.
func BenchmarkSender(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w, 200, "accepted")
	}))
	b.Cleanup(server.Close)
	platform, err := simulator.NewPlatform(simulator.PlatformOptions{Customer: "acme", ClientID: "id", ClientSecret: "s", APIKey: "k"})
	require.NoError(b, err)
	hook, err := platform.Register(simulator.Webhook{URL: server.URL, EncryptMessageBody: true, AddSignatureHeader: true})
	require.NoError(b, err)
	sender, err := simulator.NewSender(simulator.SenderOptions{
		Platform: platform, WebhookID: hook.ID, Generator: generator(b, simulator.GeneratorOptions{Size: 1 << 10}), Count: b.N,
	})
	require.NoError(b, err)
	b.ReportAllocs()
	b.ResetTimer()
	tally, err := sender.Run(b.Context())
	require.NoError(b, err)
	require.Equal(b, b.N, tally.Accepted)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
