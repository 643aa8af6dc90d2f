package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/config"
	"awareid-gateway/internal/event"
	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

const publicURL = "https://events.example.com" + server.Path

// TestWebhookFromRegisterToDelete goes the way of an operator, up to a gateway that
// serves with nothing but what register printed.
func TestWebhookFromRegisterToDelete(t *testing.T) {
	t.Parallel()
	p := newStandIn(t, nil)
	header := filepath.Join(t.TempDir(), "header")
	require.NoError(t, os.WriteFile(header, []byte("Basic it's hunter2\n"), 0o600))
	r := runToEnd(t, p.environ(), "webhook", "register", "--url", publicURL, "--auth-header-key", "X-Guard", "--auth-header-value", "Basic it's hunter2")
	require.Equal(t, exitOK, r.code, r.err)
	require.Empty(t, r.err)
	printed := lines(r.out)
	require.Len(t, printed, 4)
	id, _ := strings.CutPrefix(printed[0], "AWAREID_WEBHOOK_ID=")
	hook, err := p.Webhook(id)
	require.NoError(t, err)
	require.Equal(t, []string{
		"AWAREID_WEBHOOK_ID=" + id, "AWAREID_WEBHOOK_SECRETS=" + hook.Secret,
		"AWAREID_AUTH_HEADER_KEY=X-Guard", `AWAREID_AUTH_HEADER_VALUE='Basic it'\''s hunter2'`,
	}, printed)
	require.Equal(t, event.Types(), hook.Events)
	require.True(t, hook.EncryptMessageBody && hook.AddSignatureHeader)
	require.Equal(t, []string{publicURL, "X-Guard", "Basic it's hunter2"}, []string{hook.URL, hook.AuthHeaderKey, hook.AuthHeaderValue})

	s := newStack(t)
	g := s.ready(t, start(t, append(s.environWithoutWebhook(), printed[0], printed[1], printed[2], "AWAREID_AUTH_HEADER_VALUE_FILE="+header), "serve"))
	e := newSample("enrollment.completed")
	body, headers := seal(t, p.SchemeOf(hook), e.body)
	requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, "", body, headers))

	list := runToEnd(t, p.environ(), "webhook", "list")
	require.Equal(t, exitOK, list.code, list.err)
	require.Regexp(t, `^WEBHOOK .*\n`+id+`  yes        yes     24      `+publicURL+`\n$`, list.out)
	get := runToEnd(t, p.environ(), "webhook", "get", id)
	require.Equal(t, exitOK, get.code, get.err)
	require.Regexp(t, `(?m)^secret       \[set\]$`, get.out)
	require.Regexp(t, `(?m)^events       all 24$`, get.out)
	require.Regexp(t, `(?m)^url          `+publicURL+`$`, get.out)
	shown := runToEnd(t, p.environ(), "webhook", "get", id, "--show-secret", "--json")
	var object map[string]any
	require.NoError(t, json.Unmarshal([]byte(shown.out), &object))
	require.Equal(t, hook.Secret, object["secret"])
	require.Equal(t, "[set]", object["authHeaderValue"])
	asJSON := runToEnd(t, p.environ(), "webhook", "list", "--json")
	require.Contains(t, asJSON.out, `"webhookId":"`+id+`"`)
	for _, r := range []result{list, get, asJSON} {
		require.NotContains(t, r.out+r.err, hook.Secret)
		require.NotContains(t, r.out+r.err, "hunter2")
	}

	refused := runToEnd(t, p.environ(), "webhook", "delete", id)
	require.Equal(t, exitUsage, refused.code)
	require.Contains(t, refused.err, "--yes")
	require.Equal(t, exitOK, runToEnd(t, p.environ(), "webhook", "delete", id, "--yes").code)
	_, err = p.Webhook(id)
	require.ErrorIs(t, err, simulator.ErrUnknownWebhook)
	require.Equal(t, exitFailed, runToEnd(t, p.environ(), "webhook", "get", id).code)
}

func TestWebhookRegisterIntoAFile(t *testing.T) {
	t.Parallel()
	p := newStandIn(t, nil)
	path := filepath.Join(t.TempDir(), "secrets")
	args := []string{"webhook", "register", "--url", "https://events.example.com/other", "--events", "enrollment.completed,enrollment.started", "--unencrypted", "--secrets-file", path, "--json"}
	r := runToEnd(t, p.environ(), args...)
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.err, "the path is none of the gateway's")
	var printed struct {
		WebhookID string            `json:"webhookId"`
		Variables map[string]string `json:"variables"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.out), &printed))
	hook, err := p.Webhook(printed.WebhookID)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"AWAREID_WEBHOOK_ID": hook.ID, "AWAREID_WEBHOOK_SECRETS_FILE": path}, printed.Variables)
	require.Equal(t, []string{"enrollment.completed", "enrollment.started"}, hook.Events)
	require.False(t, hook.EncryptMessageBody)
	all, err := config.ReadSecretsFile(path, config.FormAuto)
	require.NoError(t, err)
	require.Equal(t, hook.Secret, all[0].Value.Reveal())
	require.NotContains(t, r.out+r.err, hook.Secret)

	again := runToEnd(t, p.environ(), args...)
	require.Equal(t, exitUsage, again.code)
	require.Contains(t, again.err, "wants a new file")
	require.Len(t, lines(runToEnd(t, p.environ(), "webhook", "list", "--json").out), 1, "nothing was registered for a file that is there")
}

// TestWebhookRegisterWithoutAnAnswer says what to look at.
func TestWebhookRegisterWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, reached := range map[string]bool{"carried out": true, "not carried out": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newStandIn(t, func(platform http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.Method != http.MethodPost || r.URL.Path != "/webhook/registration" {
						platform.ServeHTTP(w, r)
						return
					}
					if reached {
						platform.ServeHTTP(&lateWriter{ResponseWriter: w}, r)
					}
					panic(http.ErrAbortHandler)
				})
			})
			path := filepath.Join(t.TempDir(), "secrets")
			r := runToEnd(t, p.environ(), "webhook", "register", "--url", publicURL, "--secrets-file", path)
			require.Equal(t, exitFailed, r.code)
			require.Contains(t, r.err, "it is unknown whether it was done")
			require.Equal(t, reached, strings.Contains(r.err, "new since then: "), r.err)
			require.Equal(t, !reached, strings.Contains(r.err, "no new webhook is listed"), r.err)
			require.Empty(t, r.out)
			require.NoFileExists(t, path)
		})
	}
}

func TestWebhookUpdate(t *testing.T) {
	t.Parallel()
	s, p := newStack(t), newStandIn(t, nil)
	p.know(t, s)
	update := func(args ...string) simulator.Webhook {
		t.Helper()
		r := runToEnd(t, p.environ(), append([]string{"webhook", "update", s.hook.ID}, args...)...)
		require.Equal(t, exitOK, r.code, r.err)
		hook, err := p.Webhook(s.hook.ID)
		require.NoError(t, err)
		require.Equal(t, s.hook.Secret, hook.Secret)
		return hook
	}
	before := update("--events", "enrollment.completed")
	require.Equal(t, []string{"enrollment.completed"}, before.Events)
	hook := update("--no-encrypted", "--url", "https://elsewhere.example.com/webhooks/awareid")
	require.False(t, hook.EncryptMessageBody)
	require.True(t, hook.AddSignatureHeader)
	require.Equal(t, []string{"enrollment.completed"}, hook.Events, "what is not named stays")
	hook = update("--auth-header-key", "X-Guard", "--auth-header-value", "hunter2")
	require.False(t, hook.EncryptMessageBody)
	require.Equal(t, "hunter2", hook.AuthHeaderValue)
	require.Equal(t, "hunter2", update("--encrypted").AuthHeaderValue)
	require.Empty(t, update("--no-auth-header").AuthHeaderKey)

	for _, args := range [][]string{nil, {"--no-auth-header", "--auth-header-key", "X"}, {"--auth-header-value", "a", "--auth-header-value-file", "b"}} {
		r := runToEnd(t, p.environ(), append([]string{"webhook", "update", s.hook.ID}, args...)...)
		require.Equal(t, exitUsage, r.code, r.err)
	}
	require.Equal(t, exitFailed, runToEnd(t, p.environ(), "webhook", "update", "unknown", "--signed").code)
}

func TestWebhookCommandsWantAPlatform(t *testing.T) {
	t.Parallel()
	for _, args := range []string{"list", "get x", "register --url " + publicURL, "update x --signed", "delete x --yes"} {
		r := runToEnd(t, nil, append([]string{"webhook"}, strings.Fields(args)...)...)
		require.Equal(t, exitUsage, r.code, args)
		require.Contains(t, r.err, "AWAREID_BASE_URL", args)
	}
	s := newStack(t)
	r := runToEnd(t, s.environ(), "webhook", "rotate")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.err, "AWAREID_BASE_URL")
}
