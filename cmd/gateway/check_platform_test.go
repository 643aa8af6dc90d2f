package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// TestCheckPlatform says of each difference between registration and configuration
// what it means.
func TestCheckPlatform(t *testing.T) {
	t.Parallel()
	p := newStandIn(t, nil)
	other := newDevWebhook().Secret
	header := []string{"AWAREID_AUTH_HEADER_KEY=X-Guard", "AWAREID_AUTH_HEADER_VALUE=hunter2-header"}
	for _, test := range []struct {
		name    string
		change  func(*simulator.Webhook)
		environ func(s *stack) []string
		code    int
		want    string // of the line; "": as it is configured
	}{
		{"the same", func(*simulator.Webhook) {}, nil, exitOK, ""},
		{"the same behind a prefix", func(w *simulator.Webhook) { w.URL = "https://events.example.com/in" + server.Path }, nil, exitOK, ""},
		{"the same with a header", func(w *simulator.Webhook) { w.AuthHeaderKey, w.AuthHeaderValue = "x-guard", "hunter2-header" },
			func(*stack) []string { return header }, exitOK, ""},
		{"another path", func(w *simulator.Webhook) { w.URL = "https://events.example.com/hooks" }, nil, exitFailed,
			`FAIL .*posts to https://events.example.com/hooks, and its path does not end with /webhooks/awareid$`},
		{"fewer events", func(w *simulator.Webhook) { w.Events = event.Types()[1:] }, nil, exitOK,
			`warn .*does not post enrollment.started$`},
		{"no signature", func(w *simulator.Webhook) { w.AddSignatureHeader = false }, nil, exitFailed, `FAIL .*does not sign`},
		{"no encryption", func(w *simulator.Webhook) { w.EncryptMessageBody = false }, nil, exitOK, `warn .*does not encrypt bodies$`},
		{"no encryption where it is needed", func(w *simulator.Webhook) { w.EncryptMessageBody = false },
			func(*stack) []string { return []string{"SIGNATURE_COVERS=plaintext"} }, exitFailed, `FAIL .*does not encrypt bodies, and only`},
		{"a header that is not configured", func(w *simulator.Webhook) { w.AuthHeaderKey, w.AuthHeaderValue = "X-Guard", "hunter2-header" }, nil, exitOK,
			`warn .*sends the auth header X-Guard, and none is configured`},
		{"a header that is not sent", func(*simulator.Webhook) {}, func(*stack) []string { return header }, exitFailed, `FAIL .*sends no auth header`},
		{"another header", func(w *simulator.Webhook) { w.AuthHeaderKey, w.AuthHeaderValue = "X-Other", "hunter2-header" },
			func(*stack) []string { return header }, exitFailed, `FAIL .*sends the auth header X-Other, and another one`},
		{"another value", func(w *simulator.Webhook) { w.AuthHeaderKey, w.AuthHeaderValue = "X-Guard", "hunter2-other" },
			func(*stack) []string { return header }, exitFailed, `FAIL .*another value in the auth header`},
		{"the second secret", func(*simulator.Webhook) {},
			func(s *stack) []string { return []string{"AWAREID_WEBHOOK_SECRETS=" + other + "," + s.hook.Secret} }, exitOK, `warn .*at place 2 of the configuration: put it first$`},
		{"a secret that has ended", func(*simulator.Webhook) {},
			func(s *stack) []string {
				return []string{"AWAREID_WEBHOOK_SECRETS=" + other + "," + s.hook.Secret + "@2020-01-01T00:00Z"}
			}, exitFailed, `FAIL .*at place 2 of the configuration, which has ended$`},
		{"an unknown secret", func(w *simulator.Webhook) { w.Secret = other }, nil, exitFailed, `FAIL .*a secret that is not configured`},
		{"an unknown webhook", func(w *simulator.Webhook) { w.ID = newDevWebhook().ID }, nil, exitFailed, `FAIL .*AwareID answered 404`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			s.createTopics(t, "", nil)
			hook := s.hook
			hook.URL, hook.EncryptMessageBody, hook.AddSignatureHeader = "https://events.example.com"+server.Path, true, true
			test.change(&hook)
			_, err := p.Register(hook)
			require.NoError(t, err)
			extra := p.environ()
			if test.environ != nil {
				extra = append(extra, test.environ(s)...)
			}
			r := runToEnd(t, s.environ(extra...), "check")
			require.Equal(t, test.code, r.code, r.out+r.err)
			if test.want == "" {
				test.want = `ok    platform       webhook ` + s.hook.ID + ` is registered as it is configured$`
			}
			require.Regexp(t, `(?m)^`+test.want, r.out)
			for _, private := range []string{"hunter2", s.hook.Secret, other} {
				require.NotContains(t, r.out+r.err, private)
			}
		})
	}
}

func TestCheckPlatformIsLeftOut(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	r := runToEnd(t, s.environ(), "check")
	require.Regexp(t, `(?m)^ok    platform       AWAREID_BASE_URL is not set`, r.out)
	p := newStandIn(t, nil)
	r = runToEnd(t, s.environ(p.environ("AWAREID_CLIENT_SECRET=hunter2-wrong")...), "check")
	require.Equal(t, exitFailed, r.code)
	require.Regexp(t, `(?m)^FAIL  platform .*get token: AwareID answered 401`, r.out)
	require.NotContains(t, r.out+r.err, "hunter2")
}

// TestCheckKnowsWhatARotationTold: until it is configured, that is a warning.
func TestCheckKnowsWhatARotationTold(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newStandIn(t, nil)
	s.createTopics(t, "", nil)
	p.know(t, s)
	environ := s.environ(p.environ()...)
	rotated := runToEnd(t, environ, "webhook", "rotate")
	require.Equal(t, exitOK, rotated.code, rotated.err)
	r := runToEnd(t, environ, "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.Regexp(t, `(?m)^warn  platform .*that only a rotation told`, r.out)
	r = runToEnd(t, append(environ, lines(rotated.out)[0]), "check")
	require.Equal(t, exitOK, r.code, r.out)
	require.Regexp(t, `(?m)^ok    platform .*registered as it is configured`, r.out)
}
