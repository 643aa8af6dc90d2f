package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

const anyQuarantineKey = "QUARANTINE_KEY=//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA="

// runQuarantine runs a quarantine command, which must tell nothing private.
func (s *stack) runQuarantine(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	r := runToEnd(t, environ, append([]string{"quarantine"}, args...)...)
	if !slices.Contains(args, "--body") {
		for _, private := range []string{username, "operationToken", s.hook.Secret} {
			require.NotContains(t, r.out+r.err, private)
		}
	}
	return r
}

// replayed wants an exit code, and returns what became of each record.
func (s *stack) replayed(t *testing.T, code int, environ []string, args ...string) []outcome {
	t.Helper()
	r := s.runQuarantine(t, environ, append([]string{"replay", "--json"}, args...)...)
	require.Equal(t, code, r.code, r.out+r.err)
	all := lines(r.out)
	var outcomes []outcome
	for _, line := range all[:len(all)-1] { // the last is the summary
		var o outcome
		require.NoError(t, json.Unmarshal([]byte(line), &o), line)
		outcomes = append(outcomes, o)
	}
	return outcomes
}

func requireResults(t *testing.T, got []outcome, want ...string) {
	t.Helper()
	var results []string
	for _, o := range got {
		results = append(results, o.Result)
	}
	require.Equal(t, want, results)
}

// list reads the lines of quarantine list --json.
func (s *stack) list(t *testing.T, environ []string, args ...string) []entry {
	t.Helper()
	r := s.runQuarantine(t, environ, append([]string{"list", "--json"}, args...)...)
	require.Equal(t, exitOK, r.code, r.err)
	var entries []entry
	for _, line := range lines(r.out) {
		if line != "" {
			var e entry
			require.NoError(t, json.Unmarshal([]byte(line), &e), line)
			entries = append(entries, e)
		}
	}
	return entries
}

// write puts a record into the quarantine topic, as anybody might.
func (s *stack) write(t *testing.T, value string, headers ...simulator.Header) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(s.brokers))
	require.NoError(t, err)
	defer client.Close()
	r := &kgo.Record{Topic: s.quarantine(), Value: []byte(value)}
	for _, h := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)})
	}
	require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
}

// quarantined has a gateway put bodies into quarantine.
func (g *gateway) quarantined(t *testing.T, scheme simulator.Scheme, samples ...sample) {
	t.Helper()
	for _, e := range samples {
		body, header := seal(t, scheme, e.body)
		requireAnswer(t, http.StatusAccepted, "quarantined", "", g.post(t, "", body, header))
	}
}

func requireReplayed(t *testing.T, s *stack, e sample, r simulator.Record) {
	t.Helper()
	require.Equal(t, string(e.body), string(r.Value))
	require.Equal(t, e.key(), r.Key)
	require.Equal(t, "replay", r.Header("gateway-origin"))
	require.Equal(t, event.Source(s.hook.ID), r.Header("ce_source"))
}

// TestReplayAfterTheKeyIsMended quarantines what no key opens, and replays it
// beside the running gateway once the key is there, in the order in which it
// came, with and without encryption of the topic.
func TestReplayAfterTheKeyIsMended(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string][]string{"plain": nil, "sealed": {anyQuarantineKey}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			g := s.serve(t, extra...)
			public, private := wrappingKey(t)
			var samples []sample
			for range 6 {
				samples = append(samples, sampleOf("enrollment.started", "one operation"))
			}
			g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, PublicKey: public}, samples...)

			broken, mended := s.environ(extra...), s.environ(append(extra, private)...)
			all := s.list(t, broken)
			require.Len(t, all, len(samples))
			requireResults(t, s.replayed(t, exitFailed, broken, all[0].Position), "undecryptable")
			requireResults(t, s.replayed(t, exitOK, mended, "--dry-run", all[0].Position), "ready")
			require.Empty(t, s.records(t, s.topic(event.Enrollment)))

			requireResults(t, s.replayed(t, exitOK, mended, all[0].Digest), "accepted")
			requireResults(t, s.replayed(t, exitOK, mended, "--all", "--reason=undecryptable"),
				"duplicate", "accepted", "accepted", "accepted", "accepted", "accepted")
			requireResults(t, s.replayed(t, exitOK, mended, all[0].Digest[:minDigest], all[5].Position), "duplicate", "duplicate")
			require.Empty(t, s.replayed(t, exitOK, mended, "--all", "--reason=stale"))

			records := s.records(t, s.topic(event.Enrollment))
			require.Len(t, records, len(samples))
			for i, e := range samples {
				requireReplayed(t, s, e, records[i])
			}
			// The event itself, when it comes late, is a repeat too.
			requireAnswer(t, http.StatusOK, "duplicate", samples[0].id, g.send(t, samples[0]))
		})
	}
}

// TestReplayAfterRotation opens records that were sealed with a secret that is
// not the current one any more, and before QUARANTINE_KEY was set.
func TestReplayAfterRotation(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	public, private := wrappingKey(t)
	before := s.serve(t)
	before.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, PublicKey: public}, newSample("enrollment.started"))
	require.Equal(t, exitOK, before.end(t))

	rotated := "AWAREID_WEBHOOK_SECRETS=" + newDevWebhook().Secret
	requireResults(t, s.replayed(t, exitFailed, s.environ(private, rotated), "--all"), "forged")
	requireResults(t, s.replayed(t, exitOK, s.environ(private, rotated+","+s.hook.Secret, anyQuarantineKey), "--all"), "accepted")
	require.Len(t, s.records(t, s.topic(event.Enrollment)), 1)
}

// TestReplayRefusesForgedRecords: who can write to the topic cannot make events.
func TestReplayRefusesForgedRecords(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	genuine := sampleAt("enrollment.started", "op", time.Now().Add(-200*time.Hour))
	g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, genuine)
	record := s.records(t, s.quarantine())[0]
	forged := newSample("enrollment.completed")

	s.write(t, string(forged.body), record.Headers...) // the headers of another body
	s.write(t, string(forged.body))
	s.write(t, "")
	s.write(t, string(record.Value), record.Headers[:4]...)
	s.write(t, string(record.Value), append([]simulator.Header{{Key: "gateway-reason", Value: "refused"}}, record.Headers...)...)
	s.write(t, "x", simulator.Header{Key: "gateway-webhook", Value: "\x1b[2J" + strings.Repeat("x", 1000)},
		simulator.Header{Key: "gateway-mac", Value: ""})

	entries := s.list(t, s.environ())
	require.Len(t, entries, 7)
	authentic := 0
	for _, e := range entries {
		if e.Authentic {
			authentic++
		}
	}
	require.Equal(t, 1, authentic)
	listed := s.runQuarantine(t, s.environ(), "list")
	require.NotContains(t, listed.out, "\x1b")
	require.Len(t, lines(listed.out), 1+len(entries))

	r := s.runQuarantine(t, s.environ(), "replay", "--all")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.out, "7 records, 1 accepted, 6 forged\n")
	require.Contains(t, r.err, "gateway: not every record could be replayed")
	records := s.records(t, s.topic(event.Enrollment))
	require.Len(t, records, 1)
	requireReplayed(t, s, genuine, records[0])
}

// TestReplayOfStaleEvents: the claims know nothing of an event that is older
// than they are, Kafka does.
func TestReplayOfStaleEvents(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	old := sampleAt("enrollment.started", "op", time.Now().Add(-30*24*time.Hour))
	ancient := sampleAt("enrollment.started", "op", time.Date(1955, 11, 5, 6, 0, 0, 0, time.UTC))
	g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, old, ancient)
	requireResults(t, s.replayed(t, exitOK, s.environ(), "--all"), "accepted", "accepted")
	requireResults(t, s.replayed(t, exitOK, s.environ(), "--all"), "duplicate", "duplicate")
	require.Len(t, s.records(t, s.topic(event.Enrollment)), 2)

	s.redisURL = "redis://" + miniredis.RunT(t).Addr() // one that has forgotten everything
	requireResults(t, s.replayed(t, exitOK, s.environ("KAFKA_PRODUCE_TIMEOUT=1s"), "--all"), "duplicate", "duplicate")
	require.Len(t, s.records(t, s.topic(event.Enrollment)), 2)
}

// TestReplayOfWhatIsNoEvent says why, and goes on with the others.
func TestReplayOfWhatIsNoEvent(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	plain := simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}
	noType := sample{body: []byte(`{"id":"no type","username":"` + username + `"}`)}
	ahead := sampleAt("enrollment.started", "op", time.Now().Add(time.Hour))
	stale := sampleAt("enrollment.started", "op", time.Now().Add(-200*time.Hour))
	g.quarantined(t, plain, noType, ahead, stale)
	requireResults(t, s.replayed(t, exitFailed, s.environ(), "--all"), "malformed", "future", "accepted")
	requireResults(t, s.replayed(t, exitFailed, s.environ(), "--all", "--dry-run"), "malformed", "future", "ready")
}

// TestReplayOfAGzippedBody, which the record holds as it came, without the
// header that said so.
func TestReplayOfAGzippedBody(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	stale := sampleAt("enrollment.started", "op", time.Now().Add(-200*time.Hour))
	g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, sample{body: gzipped(t, stale.body)})
	requireResults(t, s.replayed(t, exitOK, s.environ(), "--all"), "accepted")
	records := s.records(t, s.topic(event.Enrollment))
	require.Len(t, records, 1)
	require.Equal(t, string(stale.body), string(records[0].Value))
}

// TestReplayWithTheFile needs the file that the gateway has.
func TestReplayWithTheFile(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.redisURL = ""
	file := "STORE_FILE=" + filepath.Join(t.TempDir(), "gateway.db")
	g := s.serve(t, file)
	stale := sampleAt("enrollment.started", "op", time.Now().Add(-200*time.Hour))
	g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, stale)

	r := s.runQuarantine(t, s.environ(file), "replay", "--all")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.err, "stop the gateway meanwhile")
	requireResults(t, s.replayed(t, exitOK, s.environ(file), "--all", "--dry-run"), "ready")
	require.Len(t, s.list(t, s.environ(file)), 1)

	r = s.runQuarantine(t, s.environ(file+".other"), "replay", "--all")
	require.Equal(t, exitFailed, r.code)
	require.Contains(t, r.err, "is not there: the claims of the gateway are needed")

	require.Equal(t, exitOK, g.end(t))
	requireResults(t, s.replayed(t, exitOK, s.environ(file), "--all"), "accepted")
}

func TestListFilters(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	require.Equal(t, exitFailed, s.runQuarantine(t, s.environ(), "list").code, "there is no topic")
	g := s.serve(t)
	require.Empty(t, s.list(t, s.environ()))
	plain := simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}
	stale := sampleAt("enrollment.started", "op", time.Now().Add(-200*time.Hour))
	g.quarantined(t, plain, sample{body: []byte("{}")}, stale)

	entries := s.list(t, s.environ(), "--reason=stale", "--since=2h", "--webhook="+s.hook.ID)
	require.Len(t, entries, 1)
	require.Equal(t, len(stale.body), entries[0].Size)
	require.Equal(t, s.hook.ID, entries[0].Webhook)
	require.Equal(t, "stale", entries[0].Reason)
	require.WithinDuration(t, time.Now(), entries[0].Time, 2*patience)
	require.Empty(t, s.list(t, s.environ(), "--webhook=another"))
	require.Empty(t, s.list(t, s.environ(), "--since=1ns"))
	require.Empty(t, s.list(t, s.environ(), "--reason=refused"))
}

func TestShow(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string][]string{"plain": nil, "sealed": {anyQuarantineKey}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			g := s.serve(t, extra...)
			stale := sampleAt("enrollment.started", "op", time.Now().Add(-200*time.Hour))
			g.quarantined(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, stale)
			at := s.list(t, s.environ(extra...))[0]

			r := s.runQuarantine(t, s.environ(extra...), "show", at.Position)
			require.Equal(t, exitOK, r.code, r.err)
			for _, want := range []string{at.Digest, "authentic  yes", "reason     stale", "replay     ready", "id         " + stale.id} {
				require.Contains(t, r.out, want)
			}
			r = s.runQuarantine(t, s.environ(extra...), "show", "--body", at.Digest[:minDigest])
			require.Contains(t, r.out, string(stale.body))
			r = s.runQuarantine(t, s.environ(extra...), "show", "--body", "--json", at.Digest)
			var d detail
			require.NoError(t, json.Unmarshal([]byte(r.out), &d))
			require.Equal(t, string(stale.body), string(d.Body))

			r = s.runQuarantine(t, s.environ(extra...), "show", "0@999")
			require.Equal(t, exitFailed, r.code)
			require.Contains(t, r.err, "not in quarantine: 0@999")
		})
	}
}

func TestQuarantineArguments(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, args := range [][]string{
		{"replay"}, {"replay", "--all", "0@1"}, {"replay", "0@1", "--reason=stale"}, {"replay", "--all", "--timeout=0s"},
		{"replay", "--all", "--reason=other"}, {"list", "--reason=other"}, {"list", "--since=-1h"},
		{"show"}, {"show", "1"}, {"show", "@1"}, {"show", "-1@1"}, {"show", "1@1@1"}, {"show", "0123456789abcde"},
		{"show", "0123456789abcdeg"}, {"show", strings.Repeat("a", 65)}, {},
	} {
		require.Equal(t, exitUsage, s.runQuarantine(t, s.environ(), args...).code, args)
	}
	require.Equal(t, exitUsage, s.runQuarantine(t, nil, "list").code, "no configuration")
}
