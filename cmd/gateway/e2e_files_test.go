package main

import (
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
)

// shown shows a token, which may change.
type shown struct {
	http.RoundTripper
	token atomic.Pointer[string]
}

func (b *shown) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+*b.token.Load())
	return b.RoundTripper.RoundTrip(r)
}

// TestFilesOfSecretsRotate: what the files hold is in force within seconds, and the
// gateway goes on. Nothing of it is told.
func TestFilesOfSecretsRotate(t *testing.T) {
	t.Parallel()
	s, folder := newStack(t), t.TempDir()
	key := func(letter string) string {
		return base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, 32)))
	}
	write := func(variable, value string) string {
		path := filepath.Join(folder, variable)
		require.NoError(t, os.WriteFile(path, []byte(value+"\n"), 0o600))
		return variable + "_FILE=" + path
	}
	const oldToken, newToken, oldHeader, newHeader = "canary-admin-token-1", "canary-admin-token-2", "canary-header-1", "canary-header-2"
	admin := &shown{RoundTripper: s.client.Transport}
	show := func(token string) { admin.token.Store(&token) }
	show(oldToken)
	s.client.Transport = admin
	g := s.serve(t, "AWAREID_AUTH_HEADER_KEY=X-Guard", write("AWAREID_AUTH_HEADER_VALUE", oldHeader),
		write("ADMIN_TOKEN", oldToken), write("SPOOL_KEY", key("a")), write("QUARANTINE_KEY", key("a")), "REDIS_URL=", write("REDIS_URL", s.redisURL))
	post := func(header string) int {
		e := newSample("enrollment.completed")
		body, headers := seal(t, simulator.Scheme{Secret: s.hook.Secret, AuthHeaderKey: "X-Guard", AuthHeaderValue: header}, e.body)
		return g.post(t, "", body, headers).code
	}
	changed := func(variable, value string, times int) {
		t.Helper()
		write(variable, value)
		g.await(t, g.err, times, `a changed file is in force","replica":"[^"]*","variable":"`+variable+`"`)
	}
	require.Equal(t, 200, post(oldHeader))
	require.Equal(t, 401, post(newHeader))

	changed("AWAREID_AUTH_HEADER_VALUE", newHeader+"\n"+oldHeader, 1)
	require.Equal(t, 200, post(oldHeader))
	require.Equal(t, 200, post(newHeader))
	changed("AWAREID_AUTH_HEADER_VALUE", newHeader, 2)
	require.Equal(t, 401, post(oldHeader))
	require.Equal(t, 200, post(newHeader))

	changed("ADMIN_TOKEN", newToken, 1)
	require.Equal(t, 401, g.get("/metrics").code)
	show(newToken)
	require.Equal(t, 200, g.get("/metrics").code)

	changed("SPOOL_KEY", key("b")+","+key("a"), 1)
	changed("QUARANTINE_KEY", key("b")+"\n"+key("a"), 1)
	write("REDIS_URL", "redis://:canary@elsewhere.internal:6379")
	g.await(t, g.err, 1, `"level":"ERROR".*"variable":"REDIS_URL","error":"another Redis, or other parameters, need a restart"`)
	write("ADMIN_TOKEN", "short")
	g.await(t, g.err, 1, `"level":"ERROR".*"variable":"ADMIN_TOKEN"`)
	require.Equal(t, 200, g.get("/metrics").code, "the token of before stays")
	require.Equal(t, 200, post(newHeader))
	for _, private := range []string{"canary", key("a"), key("b")} {
		require.NotContains(t, g.err.String(), private)
	}
}

// TestQuarantineOpensWithAnEndedSecret.
func TestQuarantineOpensWithAnEndedSecret(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	body, header := seal(t, simulator.Scheme{Secret: s.hook.Secret}, []byte(`{"hello":"world"}`))
	requireAnswer(t, http.StatusAccepted, "quarantined", "", g.post(t, "", body, header))
	require.Equal(t, exitOK, g.end(t))

	ended := s.environ("AWAREID_WEBHOOK_SECRETS=" + newDevWebhook().Secret + "," + s.hook.Secret + "@2020-01-01T00:00Z")
	all := s.list(t, ended)
	require.Len(t, all, 1)
	require.True(t, all[0].Authentic)
	r := s.runQuarantine(t, ended, "show", all[0].Position)
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.out, "malformed event: created", "it was opened and read")

	gone := s.environ("AWAREID_WEBHOOK_SECRETS=" + newDevWebhook().Secret)
	require.False(t, s.list(t, gone)[0].Authentic)
}
