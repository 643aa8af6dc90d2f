package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/simulator"
)

// TestRecords sends every type of the reference, and some that it has not, and
// compares each record in all its parts.
func TestRecords(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	var sent []sample
	for _, eventType := range append(simulator.Types(), "enrollment.later.addition", "payments.started", "nodot", "Enrollment.started") {
		sent = append(sent, newSample(eventType))
	}
	sent = append(sent, sampleOf("reenrollment.completed", ""))
	for _, e := range sent {
		requireAnswer(t, http.StatusOK, "accepted", e.id, g.send(t, e))
	}
	records := s.records(t)
	require.Len(t, records, len(sent))
	for _, e := range sent {
		requireRecord(t, e, s.hook.ID, s.topic(familyOf(e.eventType)), byID(t, records, e))
	}
}

// TestTraceparent is handed on where it has the form of W3C's.
func TestTraceparent(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traced, untraced := newSample("enrollment.started"), newSample("enrollment.started")
	for value, e := range map[string]sample{trace: traced, trace + "-and-more": untraced} {
		body, header := seal(t, simulator.Scheme{Secret: s.hook.Secret}, e.body)
		header.Set("Traceparent", value)
		requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, "", body, header))
	}
	records := s.records(t)
	requireRecord(t, traced, s.hook.ID, s.topic(event.Enrollment), byID(t, records, traced),
		simulator.Header{Key: "traceparent", Value: trace})
	requireRecord(t, untraced, s.hook.ID, s.topic(event.Enrollment), byID(t, records, untraced))
}

// TestQuarantine keeps what is authentic and yet no event, once for each body.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	plain := simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}
	week := 7 * 24 * time.Hour
	stale := sampleAt("enrollment.started", "op", time.Now().Add(-week-time.Minute))
	ahead := sampleAt("enrollment.started", "op", time.Now().Add(10*time.Minute))
	suspects := map[string]string{ // reasons by body
		`{"iv":"AAAAAAAAAAAAAAAA","p":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}`: "undecryptable",
		`{"id":"no type","created":"` + stale.created + `"}`:               "malformed",
		string(stale.body): "stale",
		string(ahead.body): "future",
	}
	for body := range suspects {
		sealed, header := seal(t, plain, []byte(body))
		for range 2 {
			requireAnswer(t, http.StatusAccepted, "quarantined", "", g.post(t, "", sealed, header))
		}
	}
	// An event is as fresh as its memory is long: one from just before the end is taken.
	old := sampleAt("enrollment.started", "op", time.Now().Add(-week+time.Minute))
	requireAnswer(t, http.StatusOK, "accepted", old.id, g.send(t, old))

	records := s.records(t, s.quarantine())
	require.Len(t, records, len(suspects))
	for _, r := range records {
		digest := sha256.Sum256(r.Value)
		require.Equal(t, hex.EncodeToString(digest[:]), r.Key)
		require.Equal(t, []simulator.Header{
			{Key: "gateway-digest", Value: r.Key},
			{Key: "gateway-webhook", Value: s.hook.ID},
			{Key: "gateway-reason", Value: suspects[string(r.Value)]},
			{Key: "gateway-received-at", Value: r.Header("gateway-received-at")},
			{Key: "gateway-mac", Value: r.Header("gateway-mac")},
		}, r.Headers)
		require.NotEmpty(t, r.Header("gateway-mac"))
	}
	require.Len(t, s.records(t), len(suspects)+1)
}

// TestQuarantineKey takes the key in each alphabet that the configuration lets
// pass, and leaves nothing readable in the topic.
func TestQuarantineKey(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"base64":                "//79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=",
		"base64url, no padding": "__79_Pv6-fj39vX08_Lx8O_u7ezr6uno5-bl5OPi4eA",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			g := s.serve(t, "QUARANTINE_KEY="+key)
			body := fmt.Sprintf(`{"username":%q}`, username)
			sealed, header := seal(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, []byte(body))
			requireAnswer(t, http.StatusAccepted, "quarantined", "", g.post(t, "", sealed, header))
			records := s.records(t, s.quarantine())
			require.Len(t, records, 1)
			require.Equal(t, "A256GCM", records[0].Header("gateway-encryption"))
			require.NotContains(t, string(records[0].Value), username)
		})
	}
}

// TestRoutes sends each event where the most specific pattern says.
func TestRoutes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	done, auth := s.prefix+"-kyc.done", s.prefix+"-auth.all"
	g := s.serve(t, "KAFKA_ROUTES=enrollment.completed="+done+",authentication.*="+auth)
	want := map[string]string{
		"enrollment.completed":      done,
		"enrollment.completed.late": s.topic(event.Enrollment),
		"enrollment.started":        s.topic(event.Enrollment),
		"authentication.completed":  auth,
		"reenrollment.completed":    s.topic(event.Reenrollment),
	}
	got := map[string]string{}
	for _, eventType := range slices.Sorted(maps.Keys(want)) {
		e := newSample(eventType)
		requireAnswer(t, http.StatusOK, "accepted", e.id, g.send(t, e))
	}
	for _, r := range s.records(t, append(s.topics(), done, auth)...) {
		got[r.Header("ce_type")] = r.Topic
	}
	require.Equal(t, want, got)
}

// TestSeveralWebhooks keeps two registrations apart in all but the topics.
func TestSeveralWebhooks(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	first, second := namedWebhook{"first", newDevWebhook()}, namedWebhook{"second", newDevWebhook()}
	g := s.ready(t, start(t, s.environWithoutWebhook(numbered(first, second)...), "serve"))

	e := newSample("enrollment.started")
	bySecret := func(h namedWebhook) ([]byte, http.Header) {
		return seal(t, simulator.Scheme{Secret: h.Secret}, e.body)
	}
	body, header := bySecret(first)
	requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, "first", body, header))
	requireUnauthorized(t, g.post(t, "second", body, header))
	for _, name := range []string{"", "third"} {
		require.Equal(t, http.StatusNotFound, g.post(t, name, body, header).code)
	}
	body, header = bySecret(second)
	requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, "second", body, header))
	requireAnswer(t, http.StatusOK, "duplicate", e.id, g.post(t, "second", body, header))

	var sources []string
	for _, r := range s.records(t) {
		require.Equal(t, e.id, r.Header("ce_id"))
		sources = append(sources, r.Header("ce_source"))
	}
	require.ElementsMatch(t, []string{event.Source(first.ID), event.Source(second.ID)}, sources)
}
