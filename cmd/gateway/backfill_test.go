package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/backfill"
	"awareid-gateway/internal/config"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

// knows has the platform know n events of the stack's webhook, with the numbers
// from 1 on, of which none was sent.
func (p *awareID) knows(t *testing.T, s *stack, n int) []simulator.Delivery {
	t.Helper()
	hook := s.hook
	hook.URL, hook.Events = "http://127.0.0.1/", simulator.Types()
	hook.EncryptMessageBody, hook.AddSignatureHeader = true, true
	_, err := p.platform.Register(hook)
	require.NoError(t, err)
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{})
	require.NoError(t, err)
	sender, err := simulator.NewSender(simulator.SenderOptions{
		Platform: p.platform, WebhookID: hook.ID, Generator: generator, Count: n, Rates: simulator.Rates{Loss: 1},
	})
	require.NoError(t, err)
	_, err = sender.Run(t.Context())
	require.NoError(t, err)
	return sender.Deliveries()
}

// backfilled runs the command, and wants an exit code.
func (s *stack) backfilled(t *testing.T, code int, environ []string, args ...string) (backfill.Summary, result) {
	t.Helper()
	r := runToEnd(t, environ, append([]string{"backfill", "--json"}, args...)...)
	require.Equal(t, code, r.code, r.out+r.err)
	for _, private := range []string{s.hook.Secret, "operationToken", "username"} {
		require.NotContains(t, r.out+r.err, private)
	}
	var summary backfill.Summary
	if r.out != "" {
		require.NoError(t, json.Unmarshal([]byte(r.out), &summary), r.out)
	}
	return summary, r
}

// TestBackfillByHand fetches beside a running gateway what never came.
func TestBackfillByHand(t *testing.T) {
	t.Parallel()
	s, platform := newStack(t), newAwareID(t)
	environ := s.environ(append(platform.environ, "BACKFILL_ENABLED=false")...)
	truth := platform.knows(t, s, 250)
	s.ready(t, start(t, environ, "serve"))

	summary, _ := s.backfilled(t, exitOK, environ, "--from=1", "--to=250", "--dry-run")
	require.Equal(t, map[backfill.Outcome]uint64{backfill.Ready: 250}, summary.Outcomes)
	require.Empty(t, s.records(t))
	summary, _ = s.backfilled(t, exitOK, environ, "--from=1", "--to=250")
	require.Equal(t, map[backfill.Outcome]uint64{backfill.Accepted: 250}, summary.Outcomes)
	require.Equal(t, 3, summary.Requests)
	summary, _ = s.backfilled(t, exitFailed, environ, "--list=7,251,8")
	require.Equal(t, map[backfill.Outcome]uint64{backfill.Duplicate: 2, backfill.NotReturned: 1}, summary.Outcomes)
	require.Equal(t, []string{"251"}, summary.Unrecovered)
	requireJudged(t, truth, s.records(t))

	plain := runToEnd(t, environ, "backfill", "--list=7,251,8")
	require.Equal(t, exitFailed, plain.code)
	require.Equal(t, "3 numbers asked for in 1 requests, 2 duplicate, 1 not returned\nnot recovered: 251\n", plain.out)
	require.Contains(t, plain.err, "not every number could be recovered")
}

func requireJudged(t *testing.T, truth []simulator.Delivery, records []simulator.Record) {
	t.Helper()
	require.NoError(t, simulator.Judge(truth, records))
	require.Equal(t, "backfill", records[slices.IndexFunc(records, func(r simulator.Record) bool {
		return r.Header("ce_id") == lost(truth).ID
	})].Header("gateway-origin"))
}

func lost(truth []simulator.Delivery) simulator.Delivery {
	return truth[slices.IndexFunc(truth, func(d simulator.Delivery) bool { return d.Lost })]
}

// TestBackfillThroughTheAPI does the same with a job of the running gateway, which
// with a file is the only way.
func TestBackfillThroughTheAPI(t *testing.T) {
	t.Parallel()
	s, platform := newStack(t), newAwareID(t)
	environ := s.environ(append(platform.environ, "BACKFILL_ENABLED=false", "REDIS_URL=", "STORE_FILE="+filepath.Join(t.TempDir(), "store.db"))...)
	truth := platform.knows(t, s, 120)
	g := s.ready(t, start(t, environ, "serve"))

	_, r := s.backfilled(t, exitFailed, environ, "--from=1", "--to=120")
	require.Contains(t, r.err, "stop the gateway meanwhile")
	a := g.ask(t, http.MethodPost, backfill.APIPath, `{"from":1,"to":120}`)
	require.Equal(t, http.StatusAccepted, a.code, a.body)
	var job backfill.Job
	require.Eventually(t, func() bool {
		require.NoError(t, json.Unmarshal([]byte(g.get(a.header.Get("Location")).body), &job))
		return job.State != backfill.Running
	}, patience, 10*time.Millisecond)
	require.Equal(t, backfill.Done, job.State, job.Error)
	requireJudged(t, truth, s.records(t))
	require.Equal(t, http.StatusNotFound, g.ask(t, http.MethodDelete, backfill.APIPath+"/another", "").code)
	require.Contains(t, g.get("/metrics").body, `gateway_backfill_events_total{outcome="accepted",webhook="`+s.hook.ID+`"} 120`)
}

// ask sends JSON to the admin listener.
func (g *gateway) ask(t *testing.T, method, path, body string) answer {
	t.Helper()
	request, err := http.NewRequest(method, g.admin+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	a, err := g.stack.do(request)
	require.NoError(t, err)
	return a
}

// TestAPIWantsTheToken of the admin listener.
func TestAPIWantsTheToken(t *testing.T) {
	t.Parallel()
	s, platform := newStack(t), newAwareID(t)
	const token = "a-token-for-operators"
	bare := *s.client
	s.client.Transport = bearer{token: token, next: s.client.Transport}
	g := s.ready(t, start(t, s.environ(append(platform.environ, "ADMIN_TOKEN="+token)...), "serve"))
	require.Equal(t, http.StatusOK, g.get(backfill.APIPath).code)
	s.client = &bare
	require.Equal(t, http.StatusUnauthorized, g.get(backfill.APIPath).code)
	require.Equal(t, http.StatusUnauthorized, g.ask(t, http.MethodPost, backfill.APIPath, `{}`).code)
	s.client = &http.Client{Transport: bearer{token: token, next: bare.Transport}, Timeout: patience}
}

// TestBackfillStatus shows a pause, ends it, and lists what was given up.
func TestBackfillStatus(t *testing.T) {
	t.Parallel()
	s, platform := newStack(t), newAwareID(t)
	environ := s.environ(platform.environ...)
	cfg, _, err := config.Load(environ)
	require.NoError(t, err)
	claims, err := openStore(cfg)
	require.NoError(t, err)
	defer claims.Close()
	require.NoError(t, claims.See(t.Context(), []event.Number{{Webhook: s.hook.ID, N: 1}, {Webhook: s.hook.ID, N: 9}}))
	require.NoError(t, claims.Postpone(t.Context(), s.hook.ID, []event.Postponement{{First: 3, Last: 4, GiveUp: true}}))
	sums, err := claims.Numbers(t.Context(), s.hook.ID)
	require.NoError(t, err)
	require.NoError(t, claims.SetPace(t.Context(), s.hook.ID, event.Pace{Pauses: 1, Until: sums.Now.Add(patience)}))

	status := runToEnd(t, environ, "backfill", "--status")
	require.Equal(t, exitOK, status.code, status.err)
	require.Regexp(t, s.hook.ID+` +1 +10 +5 +0 +2 +\d{4}-.*Z`, status.out)
	require.Equal(t, exitOK, runToEnd(t, environ, "backfill", "--resume").code)
	status = runToEnd(t, environ, "backfill", "--status")
	require.Regexp(t, s.hook.ID+` +1 +10 +5 +0 +2 +-\n`, status.out)
	require.Regexp(t, `^3-4  missing since \d{4}-.*Z\n$`, runToEnd(t, environ, "backfill", "--unrecoverable").out)

	restarted := runToEnd(t, environ, "backfill", "--restart")
	require.Equal(t, exitOK, restarted.code, restarted.err)
	require.Equal(t, s.hook.ID+": dropped the numbers 1 to 9, of which 5 were missing, 0 to be asked for again, 2 given up\n", restarted.out)
	require.Equal(t, s.hook.ID+": nothing was known\n", runToEnd(t, environ, "backfill", "--restart").out)
}

// TestBackfillArguments are refused with the code for usage.
func TestBackfillArguments(t *testing.T) {
	t.Parallel()
	s, platform := newStack(t), newAwareID(t)
	environ := s.environ(platform.environ...)
	for name, args := range map[string][]string{
		"half a range":      {"--from=1"},
		"backwards":         {"--from=2", "--to=1"},
		"not a number":      {"--from=a", "--to=b"},
		"range and list":    {"--from=1", "--to=2", "--list=3"},
		"another webhook":   {"--webhook=x", "--list=3"},
		"status of a range": {"--status", "--from=1", "--to=2"},
		"two at a time":     {"--status", "--resume"},
		"restart of a list": {"--restart", "--list=3"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runToEnd(t, environ, append([]string{"backfill"}, args...)...)
			require.Equal(t, exitUsage, r.code, r.err)
		})
	}
	r := runToEnd(t, s.environ(), "backfill", "--list=1")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "AWAREID_BASE_URL is not set")
	wrong := append(slices.Clone(environ), "AWAREID_CLIENT_SECRET=wrong")
	r = runToEnd(t, wrong, "backfill", "--list=1")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.err, "AwareID answered 401")
}
