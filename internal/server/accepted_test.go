package server_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/verify"
)

func TestAccepted(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	for _, cipher := range []string{"gcm", "gcm16", "cbc", "bare-gcm", "bare-cbc", "none"} {
		t.Run(cipher, func(t *testing.T) {
			id, event := newEvent()
			s := g.scheme
			s.Cipher = cipher
			header, body := sealed(t, s, event)
			header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

			requireStatus(t, g.exchange(t, post(server.Path, header, body)), 200, "accepted", id)
			requireStatus(t, g.exchange(t, post(server.Path, header, body)), 200, "duplicate", id)

			found := having(b.records(t), "awareid.enrollment", "ce_id", id)
			require.Len(t, found, 1)
			require.Equal(t, string(event), string(found[0].Value), "byte for byte")
			require.Equal(t, "canary-token-"+id, string(found[0].Key))
			require.Equal(t, "callback", headerOf(found[0], "gateway-origin"))
			require.Equal(t, "/awareid/webhooks/"+webhookID, headerOf(found[0], "ce_source"))
			require.Equal(t, now.Format(time.RFC3339Nano), headerOf(found[0], "gateway-received-at"))
			require.Equal(t, header.Get("traceparent"), headerOf(found[0], "traceparent"))
		})
	}
}

func TestTheAnswerNamesAnyID(t *testing.T) {
	g := newBackend(t).serve(t)
	for _, id := range []string{"!", `"`, `a\b"c`, `\`, "<&>'/~", strings.Repeat(`"`, 128)} {
		own, event := newEvent()
		event = bytes.Replace(event, fmt.Appendf(nil, "%q", own), fmt.Appendf(nil, "%q", id), 1)
		header, body := sealed(t, g.scheme, event)
		requireStatus(t, g.exchange(t, post(server.Path, header, body)), 200, "accepted", id)
	}
}

func TestAcceptedInChunks(t *testing.T) {
	g := newBackend(t).serve(t)
	for _, size := range []int{1, 7, 1 << 20} {
		id, event := newEvent()
		header, body := sealed(t, g.scheme, event)
		requireStatus(t, g.exchange(t, chunked(server.Path, header, body, size)), 200, "accepted", id)
	}
}

func TestATraceparentThatIsNoneIsLeftOut(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	for _, value := range []string{
		"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
		"00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01", "canary",
	} {
		id, event := newEvent()
		header, body := sealed(t, g.scheme, event)
		header.Set("traceparent", value)
		requireStatus(t, g.exchange(t, post(server.Path, header, body)), 200, "accepted", id)
		found := having(b.records(t), "awareid.enrollment", "ce_id", id)
		require.Len(t, found, 1)
		require.Empty(t, headerOf(found[0], "traceparent"))
	}
}

func TestQuarantined(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	strange := []byte("not base64, not an envelope")
	for name, tc := range map[string]struct {
		event  []byte
		cipher string
		reason string
	}{
		"undecryptable":           {strange, "none", "undecryptable"},
		"undecryptable, empty":    {nil, "none", "undecryptable"},
		"malformed":               {[]byte(`{"type":"enrollment.completed"}`), "gcm", "malformed"},
		"malformed, an id":        {[]byte(`{"id":"a b","type":"t","created":"2026-03-01T12:00:00.000+0000"}`), "gcm", "malformed"},
		"stale by a millisecond":  {eventAt(uuid.NewString(), now.Add(-168*time.Hour-time.Millisecond)), "gcm", "stale"},
		"future by a millisecond": {eventAt(uuid.NewString(), now.Add(5*time.Minute+time.Millisecond)), "gcm", "future"},
	} {
		t.Run(name, func(t *testing.T) {
			s := g.scheme
			s.Cipher = tc.cipher
			header, body := sealed(t, s, tc.event)
			before := b.stored(t)
			for range 2 {
				requireStatus(t, g.exchange(t, post(server.Path, header, body)), 202, "quarantined", "")
			}
			require.Equal(t, before+1, b.stored(t), "one record for one body")
			var kept int
			for _, r := range having(b.records(t), "awareid.quarantine", "gateway-reason", tc.reason) {
				if string(r.Value) == string(body) {
					kept++
				}
			}
			require.Equal(t, 1, kept, "whole, with its reason")
		})
	}
}

func TestFreshAtBothEdges(t *testing.T) {
	g := newBackend(t).serve(t)
	for name, created := range map[string]time.Time{
		"oldest": now.Add(-168 * time.Hour), "newest": now.Add(5 * time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			id := uuid.NewString()
			requireStatus(t, g.exchange(t, g.signed(t, eventAt(id, created))), 200, "accepted", id)
		})
	}
}

func TestEachOfSeveralWebhooksHasItsPath(t *testing.T) {
	g := newBackend(t).serve(t, func(s *setUp) {
		one, two := s.hook, s.hook
		one.Name, two.Name = "one", "two"
		two.ID = "fedcba9876543210fedcba9876543210"
		s.Webhooks = []server.Webhook{one, two}
	})
	id, event := newEvent()
	header, body := sealed(t, g.scheme, event)
	for _, name := range []string{"one", "two"} {
		requireStatus(t, g.exchange(t, post(server.Path+"/"+name, header, body)), 200, "accepted", id)
	}
	for _, path := range []string{server.Path, server.Path + "/", server.Path + "/three", server.Path + "/One", server.Path + "/one/"} {
		requireProblem(t, g.exchange(t, post(path, header, body)), 404)
	}
}

// TestAnswersAreOneJSONValue because a sender that logs them reads lines.
func TestAnswersAreOneJSONValue(t *testing.T) {
	g := newBackend(t).serve(t)
	for _, raw := range []string{g.valid(t), post(server.Path, http.Header{}, nil)} {
		a := g.exchange(t, raw)
		require.True(t, json.Valid([]byte(a.body)))
		require.NotContains(t, a.body, "\n")
	}
}

// TestNoLengthIsNoBody (RFC 9112, section 6.3): what follows is the next request.
func TestNoLengthIsNoBody(t *testing.T) {
	g := newBackend(t).serve(t)
	s := g.scheme
	s.Cipher = "none"
	header, _ := sealed(t, s, nil)
	c := g.dial(t)
	c.send(head("POST", server.Path, header), g.valid(t))
	requireStatus(t, c.answer(t), 202, "quarantined", "")
	require.Equal(t, 200, c.answer(t).status)
}

func TestNewNamesTheWebhookThatIsWrong(t *testing.T) {
	s := defaults(t, nil, prometheus.NewRegistry())
	s.hook.Secrets = []verify.Secret{{Value: "canary"}}
	s.Webhooks = []server.Webhook{s.hook}
	_, err := server.New(s.Options)
	require.ErrorContains(t, err, "webhook "+webhookID)
	require.NotContains(t, err.Error(), "canary")
}
