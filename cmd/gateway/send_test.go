package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// nobody is an address where nothing listens: port 1 is reserved (tcpmux).
const nobody = "127.0.0.1:1"

// secretOf is the environment of a sender for the webhook of a stack.
func secretOf(s *stack) []string {
	return []string{"AWAREID_WEBHOOK_ID=" + s.hook.ID, "AWAREID_WEBHOOK_SECRETS=" + s.hook.Secret}
}

func TestSend(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	url := g.url + server.Path

	r := runToEnd(t, secretOf(s), "send", url)
	require.Equal(t, exitOK, r.code, r.err)
	require.Regexp(t, `^200 \{"status":"accepted","id":"[0-9a-f-]{36}"\}\n$`, r.out)

	r = runToEnd(t, secretOf(s), "send", "--repeat=3", "--type=authentication.completed", "--cipher=cbc", "--hash=sha512", url)
	require.Equal(t, exitOK, r.code, r.err)
	require.Len(t, lines(r.out), 3)
	require.Equal(t, 1, strings.Count(r.out, `"accepted"`))
	require.Equal(t, 2, strings.Count(r.out, `"duplicate"`))

	r = runToEnd(t, secretOf(s), "send", "--json", "--repeat=2", url)
	require.Equal(t, exitOK, r.code, r.err)
	for i, line := range lines(r.out) {
		var got struct {
			HTTP   int
			Answer struct{ Status, ID string }
		}
		require.NoError(t, json.Unmarshal([]byte(line), &got))
		require.Equal(t, http.StatusOK, got.HTTP)
		require.Equal(t, []string{"accepted", "duplicate"}[i], got.Answer.Status)
		require.Len(t, got.Answer.ID, 36)
	}

	file, e := filepath.Join(t.TempDir(), "event.json"), newSample("payments.started")
	require.NoError(t, os.WriteFile(file, e.body, 0o600))
	r = runToEnd(t, secretOf(s), "send", "--file="+file, url)
	require.Equal(t, exitOK, r.code, r.err)
	require.Equal(t, `200 {"status":"accepted","id":"`+e.id+`"}`+"\n", r.out)

	records := s.records(t)
	require.Len(t, records, 4)
	requireRecord(t, e, s.hook.ID, s.topic("other"), byID(t, records, e))
}

func TestSendFails(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	url := g.url + server.Path
	other := []string{"AWAREID_WEBHOOK_SECRETS=" + newDevWebhook().Secret}
	for _, test := range []struct {
		name    string
		environ []string
		args    []string
		code    int
		want    string
	}{
		{"wrong secret", other, []string{url}, exitFailed, "answered 401"},
		{"unsigned", secretOf(s), []string{"--unsigned", url}, exitFailed, "answered 401"},
		{"no such webhook", secretOf(s), []string{url + "/none"}, exitFailed, "answered 404"},
		{"nobody listens", secretOf(s), []string{"http://" + nobody}, exitFailed, "connection refused"},
		{"no URL", secretOf(s), nil, exitUsage, "<url>"},
		{"not a URL", secretOf(s), []string{"http://[::1"}, exitUsage, "<url>"},
		{"no scheme", secretOf(s), []string{"127.0.0.1/webhooks"}, exitUsage, "<url>"},
		{"no secret", nil, []string{url}, exitUsage, "AWAREID_WEBHOOK_SECRETS"},
		{"bad secret", []string{"AWAREID_WEBHOOK_SECRETS=short"}, []string{url}, exitUsage, "not base64 of 32 bytes"},
		{"unknown flag", secretOf(s), []string{"--loud", url}, exitUsage, "--loud"},
		{"unknown cipher", secretOf(s), []string{"--cipher=rot13", url}, exitUsage, "--cipher"},
		{"unknown type", secretOf(s), []string{"--type=lunch.eaten", url}, exitUsage, "lunch.eaten"},
		{"no such file", secretOf(s), []string{"--file=nowhere.json", url}, exitUsage, "nowhere.json"},
		{"no repeat", secretOf(s), []string{"--repeat=0", url}, exitUsage, "--repeat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runToEnd(t, test.environ, append([]string{"send"}, test.args...)...)
			require.Equal(t, test.code, r.code, r.out+r.err)
			require.Contains(t, r.err, test.want)
			require.NotContains(t, r.out+r.err, s.hook.Secret)
		})
	}
	require.Empty(t, s.records(t))
}
