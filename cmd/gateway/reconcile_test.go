package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"awareid-gateway/internal/reconcile"
	"awareid-gateway/internal/simulator"
)

// awareID is a stand-in that can fail, with the variables that lead to it.
type awareID struct {
	platform *simulator.Platform
	faults   *simulator.Faults
	environ  []string
}

func newAwareID(t *testing.T) *awareID {
	t.Helper()
	platform, err := simulator.NewPlatform(simulator.PlatformOptions{Customer: "acme", ClientID: "c", ClientSecret: "s", APIKey: "k"})
	require.NoError(t, err)
	faults, err := simulator.NewFaults(platform, simulator.FaultOptions{})
	require.NoError(t, err)
	server := httptest.NewServer(faults)
	t.Cleanup(server.Close)
	return &awareID{platform, faults, []string{
		"AWAREID_BASE_URL=" + server.URL, "AWAREID_CUSTOMER=acme", "AWAREID_CLIENT_ID=c", "AWAREID_CLIENT_SECRET=s", "AWAREID_API_KEY=k",
	}}
}

// truth is what a run of the simulator should be reported as.
type truth struct {
	missing []string          // registration codes
	unended map[string]string // the platform's status by operation; "" for those not of B2C
}

// send has the platform send n events to a gateway and lose some.
func (p *awareID) send(t *testing.T, g *gateway, n int, loss float64) truth {
	t.Helper()
	hook := g.stack.hook
	hook.URL, hook.Events = g.url+"/webhooks/awareid", simulator.Types()
	hook.EncryptMessageBody, hook.AddSignatureHeader = true, true
	_, err := p.platform.Register(hook)
	require.NoError(t, err)
	const seed = 5
	generator, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: seed})
	require.NoError(t, err)
	sender, err := simulator.NewSender(simulator.SenderOptions{
		Platform: p.platform, WebhookID: hook.ID, Generator: generator, Count: n, Rates: simulator.Rates{Loss: loss}, Seed: seed,
	})
	require.NoError(t, err)
	tally, err := sender.Run(t.Context())
	require.NoError(t, err)
	require.NoError(t, tally.Check())
	again, err := simulator.NewGenerator(simulator.GeneratorOptions{Seed: seed})
	require.NoError(t, err)
	return p.truthOf(t, sender.Deliveries(), again)
}

// truthOf makes the events once more, for what stands in them.
func (p *awareID) truthOf(t *testing.T, deliveries []simulator.Delivery, again *simulator.Generator) truth {
	t.Helper()
	slices.SortFunc(deliveries, func(a, b simulator.Delivery) int { return cmp.Compare(a.TransactionNum, b.TransactionNum) })
	known := truth{unended: map[string]string{}}
	status, over := map[string]string{}, map[string]bool{}
	for _, d := range deliveries {
		e, err := again.Next()
		require.NoError(t, err)
		require.Equal(t, d.ID, e.ID)
		_, step, _ := strings.Cut(d.Type, ".")
		if d.Lost && d.Type == "enrollment.completed" {
			known.missing = append(known.missing, codeOf(t, e.Body))
		}
		switch step {
		case "started":
			if !d.Lost {
				known.unended[d.OperationToken] = ""
			}
		case "b2c.started":
			status[d.OperationToken] = simulator.B2CPending
			if !d.Lost {
				known.unended[d.OperationToken] = "asked"
			}
		case "b2c.completed", "completed", "cancelled":
			over[d.OperationToken] = over[d.OperationToken] || !d.Lost
			if step == "b2c.completed" {
				status[d.OperationToken] = simulator.B2CCompleted
			}
		}
	}
	maps.DeleteFunc(known.unended, func(operation, _ string) bool { return over[operation] })
	for operation, asked := range known.unended {
		if asked != "" {
			known.unended[operation] = status[operation]
		}
	}
	return known
}

func codeOf(t *testing.T, body []byte) string {
	t.Helper()
	var e struct {
		Data struct{ RegistrationCode string }
	}
	require.NoError(t, json.Unmarshal(body, &e))
	return e.Data.RegistrationCode
}

// runReconcile runs the command, which tells its output and nobody else of people.
func (s *stack) runReconcile(t *testing.T, code int, environ []string, args ...string) (reconcile.Report, result) {
	t.Helper()
	r := runToEnd(t, environ, append([]string{"reconcile", "--open-after", "0s", "--settle", "0s"}, args...)...)
	require.Equal(t, code, r.code, r.out+r.err)
	require.NotContains(t, r.out+r.err, username)
	var report reconcile.Report
	if slices.Contains(args, "--json") {
		require.NoError(t, json.Unmarshal([]byte(r.out), &report), r.out)
	}
	return report, r
}

func requireTruth(t *testing.T, want truth, got reconcile.Report) {
	t.Helper()
	var codes []string
	for _, m := range got.Missing.List {
		require.Equal(t, m.RegistrationCode, m.Value)
		require.WithinDuration(t, time.Now(), m.Began, time.Minute)
		codes = append(codes, m.RegistrationCode)
	}
	require.ElementsMatch(t, want.missing, codes)
	require.Equal(t, len(want.missing), got.Missing.Count)
	operations, endedOf := map[string]string{}, 0
	for _, o := range got.Unended.List {
		operations[o.OperationToken] = string(o.Status)
		if o.Status == simulator.B2CCompleted {
			endedOf++
		}
	}
	require.Equal(t, want.unended, operations)
	require.Equal(t, endedOf, got.Unended.Ended)
}

// TestReconcileFindsWhatWasLost has the simulator lose a third of its callbacks, and
// holds the report against the simulator's own records.
func TestReconcileFindsWhatWasLost(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newAwareID(t)
	g := s.serve(t, "KAFKA_ROUTES=enrollment.completed="+s.prefix+".kyc") // ends apart from begins
	want := p.send(t, g, 600, 0.3)
	require.Greater(t, len(want.missing), 5)
	environ := s.environ(append(p.environ, "KAFKA_ROUTES=enrollment.completed="+s.prefix+".kyc")...)

	report, r := s.runReconcile(t, exitFailed, environ, "--json")
	require.Empty(t, report.Problems)
	require.Len(t, report.Compared, 3)
	requireTruth(t, want, report)
	require.Positive(t, report.Unended.Ended)
	require.Zero(t, report.Unknown.Count)
	require.Equal(t, len(want.missing)+report.Platform.Matched, report.Platform.Enrollments)
	require.Contains(t, r.err, "events are missing")

	all, _ := s.runReconcile(t, exitFailed, environ, "--json", "--window", "0s")
	requireTruth(t, want, all)
	require.Zero(t, all.Since)

	_, table := s.runReconcile(t, exitFailed, environ)
	for _, code := range want.missing {
		require.Contains(t, table.out, "\n"+code+"  ")
		require.NotContains(t, table.err, code)
		require.NotContains(t, r.err, code)
	}
	require.Contains(t, table.out, "MISSING ENROLLMENT")
	require.Contains(t, table.out, "UNENDED OPERATION")
}

// TestReconcileByAHash finds the same where events hold no registration code.
func TestReconcileByAHash(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newAwareID(t)
	rules := []string{"PRIVACY_HASH=$..registrationCode", anyHashKey, anyQuarantineKey}
	want := p.send(t, s.serve(t, rules...), 300, 0.3)
	require.NotEmpty(t, want.missing)
	report, _ := s.runReconcile(t, exitFailed, s.environ(append(p.environ, rules...)...), "--json")
	require.Empty(t, report.Problems)
	requireTruth(t, want, report)
	require.Positive(t, report.Platform.Matched)
	require.Zero(t, report.Unknown.Count)

	blind := s.environ(append(p.environ, "PRIVACY_DROP=$.data.registrationCode,$..operationToken", anyHashKey, anyQuarantineKey)...)
	_, told := s.runReconcile(t, exitFailed, blind)
	require.Contains(t, told.err, "cannot join enrollments with events by registrationCode in data, which the privacy rules drop\n")
	require.Contains(t, told.err, "cannot find operations without an end")
}

// TestReconcileWhereNothingIsMissing passes over what others write to the topics,
// and tells of an event that the platform does not know.
func TestReconcileWhereNothingIsMissing(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newAwareID(t)
	g := s.serve(t)
	p.send(t, g, 200, 0)
	stranger := newSample("enrollment.completed")
	stranger.body = bytes.Replace(stranger.body, []byte(`"x":null`), []byte(`"registrationCode":"nobody"`), 1)
	require.Equal(t, http.StatusOK, g.send(t, stranger).code)
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers))
	require.NoError(t, err)
	defer client.Close()
	for _, value := range [][]byte{nil, []byte("{"), []byte(`{"data":{"registrationCode":"x"}}`)} {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: s.topic("enrollment"), Value: value}).FirstErr())
	}

	report, _ := s.runReconcile(t, exitOK, s.environ(p.environ...), "--json")
	require.Empty(t, report.Problems)
	require.Equal(t, 3, report.Kafka.Passed)
	require.Equal(t, 1, report.Unknown.Count)
	require.Equal(t, stranger.id, report.Unknown.List[0].ID)
	require.Equal(t, "nobody", report.Unknown.List[0].Value)

	report, _ = s.runReconcile(t, exitOK, s.environ(p.environ...), "--json", "--webhook", s.hook.ID)
	require.Equal(t, s.hook.ID, report.Webhook)
	report, _ = s.runReconcile(t, exitFailed, s.environ(p.environ...), "--json", "--join-field", "code")
	require.True(t, report.Partial)
	require.Zero(t, report.Missing.Count)
	_, table := s.runReconcile(t, exitOK, s.environ(p.environ...))
	require.Contains(t, table.out, "UNKNOWN EVENT")
}

// TestReconcileFails with a clear word and a partial report.
func TestReconcileFails(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newAwareID(t)
	s.serve(t) // makes the topics
	for name, tc := range map[string]struct {
		environ, args []string
		code          int
		want          string
	}{
		"no platform":       {s.environ(), nil, exitUsage, "AWAREID_BASE_URL"},
		"no such webhook":   {s.environ(p.environ...), []string{"--webhook", "x"}, exitUsage, "--webhook"},
		"backwards":         {s.environ(p.environ...), []string{"--window", "-1s"}, exitUsage, "--window"},
		"wrong credentials": {s.environ(append(p.environ, "AWAREID_CLIENT_SECRET=wrong")...), nil, exitFailed, "401"},
		"no topics":         {s.environ(append(p.environ, "KAFKA_TOPIC_PREFIX=absent")...), nil, exitFailed, "topic absent."},
	} {
		t.Run(name, func(t *testing.T) {
			_, r := s.runReconcile(t, tc.code, tc.environ, tc.args...)
			require.Contains(t, r.out+r.err, tc.want)
		})
	}
}

// TestReconcileOnASchedule compares beside the callbacks, and keeps the report for
// who has access.
func TestReconcileOnASchedule(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newAwareID(t)
	want := p.send(t, s.serve(t), 200, 0.3)
	require.NotEmpty(t, want.missing)
	g := s.serve(t, append(p.environ, "RECONCILE_INTERVAL=20s", "BACKFILL_ENABLED=false", "BACKFILL_GRACE=1ms", "BACKFILL_INTERVAL=1ms")...)
	g.await(t, g.err, 1, "compared the platform")
	var report reconcile.Report
	require.Eventually(t, func() bool {
		answer := g.get("/api/reconcile")
		return answer.code == http.StatusOK && json.Unmarshal([]byte(answer.body), &report) == nil
	}, patience, 10*time.Millisecond)
	require.Empty(t, report.Problems)
	require.Equal(t, len(want.missing), report.Missing.Count)
	for _, code := range want.missing {
		require.NotContains(t, g.err.String(), code)
	}
	require.Contains(t, g.get("/metrics").body, "gateway_reconcile_missing_enrollments")
}
