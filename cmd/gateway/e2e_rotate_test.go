package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/simulator"
)

// slowToAnswer uses a new secret for a while before it tells it, as a platform far
// away does.
func slowToAnswer(t *testing.T, delay time.Duration) func(http.Handler) http.Handler {
	return func(platform http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut {
				platform.ServeHTTP(w, r)
				return
			}
			late := &lateWriter{ResponseWriter: w}
			platform.ServeHTTP(late, r)
			timer := time.NewTimer(delay)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-t.Context().Done():
			}
			late.flush()
		})
	}
}

// lateWriter keeps an answer until flush.
type lateWriter struct {
	http.ResponseWriter
	code int
	body []byte
}

func (w *lateWriter) WriteHeader(code int) { w.code = code }

func (w *lateWriter) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *lateWriter) flush() {
	w.ResponseWriter.WriteHeader(w.code)
	_, _ = w.ResponseWriter.Write(w.body)
}

// traffic is callbacks one after the other on several connections, each sealed with
// the secret that the platform uses at that moment.
type traffic struct {
	stop    atomic.Bool
	senders sync.WaitGroup
	sent    atomic.Int64

	mu  sync.Mutex
	ids []string       // answered 200
	bad map[string]int // what else came, or went wrong
}

func (p *standIn) keepSending(t *testing.T, s *stack, replicas ...*gateway) *traffic {
	tr := &traffic{bad: map[string]int{}}
	for i := range 8 {
		tr.senders.Go(func() {
			for !tr.stop.Load() { // each replica has senders of its own: all could be held by one
				tr.send(t, p, s, replicas[i%len(replicas)])
			}
		})
	}
	t.Cleanup(tr.end)
	return tr
}

func (tr *traffic) send(t *testing.T, p *standIn, s *stack, g *gateway) {
	e := newSample("enrollment.completed")
	hook, err := p.Webhook(s.hook.ID)
	if err != nil {
		t.Error(err)
		return
	}
	body, header, err := p.SchemeOf(hook).Seal(e.body)
	if err != nil {
		t.Error(err)
		return
	}
	a, err := g.tryPost("", body, header)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err != nil || a.code != http.StatusOK || a.Status != "accepted" {
		tr.bad[fmt.Sprint(a.code, a.Status, err)]++
		return
	}
	tr.ids = append(tr.ids, e.id)
	tr.sent.Add(1)
}

// await waits until n more callbacks are answered.
func (tr *traffic) await(t *testing.T, n int64) {
	t.Helper()
	from := tr.sent.Load()
	require.Eventually(t, func() bool { return tr.sent.Load() >= from+n }, patience, 5*time.Millisecond)
}

func (tr *traffic) end() {
	tr.stop.Store(true)
	tr.senders.Wait()
}

// requireAllOnce wants every callback answered 200, and its event in Kafka once.
func (tr *traffic) requireAllOnce(t *testing.T, s *stack) {
	t.Helper()
	tr.end()
	require.Empty(t, tr.bad)
	require.ElementsMatch(t, tr.ids, ids(s.records(t)))
}

// TestRotateUnderTraffic: no replica refuses a callback while the secret changes,
// although the platform signs with the new one before anybody here knows it.
func TestRotateUnderTraffic(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newStandIn(t, slowToAnswer(t, 700*time.Millisecond))
	p.know(t, s)
	replicas := []*gateway{s.serve(t, "REPLICA_ID=a"), s.serve(t, "REPLICA_ID=b")}
	tr := p.keepSending(t, s, replicas...)
	tr.await(t, 50)

	r := runToEnd(t, s.environ(p.environ()...), "webhook", "rotate", "--keep-old", "1h")
	require.Equal(t, exitOK, r.code, r.err)
	tr.await(t, 50)
	tr.requireAllOnce(t, s)

	now := p.scheme(t, s.hook.ID).Secret
	require.NotEqual(t, s.hook.Secret, now)
	require.Regexp(t, `^AWAREID_WEBHOOK_SECRETS=`+regexp.QuoteMeta(now)+","+regexp.QuoteMeta(s.hook.Secret)+`@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$`, r.out)
	require.NotContains(t, r.err, now)
	held := 0
	for _, g := range replicas {
		metrics := g.get("/metrics").body
		require.Contains(t, metrics, `gateway_secret_rotating{webhook="`+s.hook.ID+`"} 0`)
		require.NotContains(t, metrics, now)
		require.NotContains(t, g.err.String(), now)
		require.Contains(t, g.err.String(), "the first callback under this secret")
		if strings.Contains(metrics, `gateway_held_total{outcome="accepted",webhook="`+s.hook.ID+`"} `) {
			held++
		}
	}
	require.Equal(t, len(replicas), held, "callbacks were held on each replica: the test has seen what it is for")

	late := s.serve(t, "REPLICA_ID=late") // with the configuration of before
	e := newSample("enrollment.started")
	body, header := seal(t, simulator.Scheme{Secret: now}, e.body)
	requireAnswer(t, http.StatusOK, "accepted", e.id, late.post(t, "", body, header))

	variable := lines(r.out)[0]
	updated := s.serve(t, "REPLICA_ID=updated", variable)
	for _, secret := range []string{now, s.hook.Secret} {
		e := newSample("enrollment.started")
		body, header := seal(t, simulator.Scheme{Secret: secret}, e.body)
		requireAnswer(t, http.StatusOK, "accepted", e.id, updated.post(t, "", body, header))
	}
	require.NotContains(t, updated.err.String(), "only a rotation told")
}

// TestRotateByFile: a gateway without Redis sees the marker, and the file.
func TestRotateByFile(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newStandIn(t, slowToAnswer(t, 700*time.Millisecond))
	p.know(t, s)
	s.redisURL = ""
	path := filepath.Join(t.TempDir(), "secrets")
	require.NoError(t, os.WriteFile(path, []byte(s.hook.Secret+"\n"), 0o600))
	environ := append(s.environWithoutWebhook(p.environ()...), "AWAREID_WEBHOOK_ID="+s.hook.ID, "AWAREID_WEBHOOK_SECRETS_FILE="+path,
		"STORE_FILE="+filepath.Join(t.TempDir(), "gateway.db"))
	g := s.ready(t, start(t, environ, "serve"))
	tr := p.keepSending(t, s, g)
	tr.await(t, 20)

	r := runToEnd(t, environ, "webhook", "rotate", "--json")
	require.Equal(t, exitOK, r.code, r.err)
	tr.await(t, 20)
	tr.requireAllOnce(t, s)
	now := p.scheme(t, s.hook.ID).Secret
	require.JSONEq(t, `{"webhookId":"`+s.hook.ID+`","resumed":false,"variables":{"AWAREID_WEBHOOK_SECRETS_FILE":"`+path+`"}}`, r.out)
	require.NotContains(t, r.out+r.err+g.err.String(), now)
	all, err := config.ReadSecretsFile(path, config.FormAuto)
	require.NoError(t, err)
	require.Equal(t, []string{now, s.hook.Secret}, []string{all[0].Value.Reveal(), all[1].Value.Reveal()})
	require.NoFileExists(t, path+".rotating")
	require.Regexp(t, `gateway_held_total\{outcome="accepted",webhook="`+s.hook.ID+`"\} [1-9]`, g.get("/metrics").body)
}

// TestRotateAgainAfterACrash: whoever asked the platform for the new secret is gone
// and has told nobody.
func TestRotateAgainAfterACrash(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newStandIn(t, nil)
	p.know(t, s)
	g := s.serve(t)
	old := s.environ(p.environ()...)
	s.hook.Secret = p.newSecret(t, s.hook.ID)
	e := newSample("enrollment.started")
	requireUnauthorized(t, g.send(t, e))

	r := runToEnd(t, old, "webhook", "rotate")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.err, "No new one was asked for")
	require.Contains(t, r.out, s.hook.Secret)
	require.Equal(t, s.hook.Secret, p.scheme(t, s.hook.ID).Secret)
	require.Eventually(t, func() bool { return g.send(t, e).code == http.StatusOK }, patience, 50*time.Millisecond)
}
