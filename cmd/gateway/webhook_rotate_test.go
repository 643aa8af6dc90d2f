package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWebhookRotateRefuses what would lose events, before anything has changed.
func TestWebhookRotateRefuses(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	p := newStandIn(t, func(platform http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				asked.Add(1)
			}
			platform.ServeHTTP(w, r)
		})
	})
	s := newStack(t)
	p.know(t, s)
	file := s.environ(p.environ("REDIS_URL=", "STORE_FILE="+filepath.Join(t.TempDir(), "gateway.db"))...)
	folder := t.TempDir()
	watched, other, link := filepath.Join(folder, "watched"), filepath.Join(folder, "other"), filepath.Join(folder, "link")
	require.NoError(t, os.WriteFile(watched, []byte(s.hook.Secret), 0o600))
	require.NoError(t, os.Symlink(watched, link))
	watching := append(s.environWithoutWebhook(p.environ("REDIS_URL=", "STORE_FILE="+filepath.Join(t.TempDir(), "gateway.db"))...),
		"AWAREID_WEBHOOK_ID="+s.hook.ID, "AWAREID_WEBHOOK_SECRETS_FILE="+watched)
	several := append(s.environWithoutWebhook(p.environ()...), numbered(namedWebhook{"one", s.hook}, namedWebhook{"two", newDevWebhook()})...)
	for name, test := range map[string]struct {
		environ []string
		args    string
		code    int
		want    string
	}{
		"nobody could be told":   {file, "", exitUsage, "AWAREID_WEBHOOK_SECRETS_FILE"},
		"a file nobody watches":  {file, "--secrets-file " + other, exitUsage, "the file that it watches"},
		"another file":           {watching, "--secrets-file " + other, exitUsage, "the file that it watches"},
		"the file is not told":   {watching, "--print", exitUsage, "the file that it watches"},
		"no such folder":         {s.environ(p.environ()...), "--secrets-file /nowhere/secrets", exitFailed, "/nowhere"},
		"which one":              {several, "", exitUsage, "which webhook? Configured are: one two"},
		"none of that name":      {several, "three", exitUsage, "which webhook?"},
		"Redis is away":          {s.environ(p.environ("REDIS_URL=redis://:hunter2@" + nobody)...), "", exitFailed, "connection refused"},
		"two wishes":             {file, "--print --secrets-file x", exitUsage, "one of the two"},
		"a time that is no time": {file, "--keep-old -1s", exitUsage, "--keep-old"},
		"hardly published":       {file, "--publish-for 1s", exitUsage, "--publish-for"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runToEnd(t, test.environ, append([]string{"webhook", "rotate"}, strings.Fields(test.args)...)...)
			require.Equal(t, test.code, r.code, r.err)
			require.Contains(t, r.err, test.want)
			require.NotContains(t, r.err, "hunter2")
			require.Empty(t, r.out)
		})
	}
	require.Zero(t, asked.Load())
	require.NoFileExists(t, other)
	r := runToEnd(t, watching, "webhook", "rotate", "--secrets-file", link)
	require.Equal(t, exitOK, r.code, r.err)
	require.NotContains(t, r.err, "does not name this file")
	require.FileExists(t, watched)
	s.hook.Secret = p.scheme(t, s.hook.ID).Secret
	several = append(s.environWithoutWebhook(p.environ()...), numbered(namedWebhook{"one", s.hook}, namedWebhook{"two", newDevWebhook()})...)
	r = runToEnd(t, several, "webhook", "rotate", "one")
	require.Equal(t, exitOK, r.code, r.err)
	require.Regexp(t, `^WEBHOOKS_0_SECRETS=[^,]+,`, r.out)
}

// forgetsTheAuthHeader is a platform that does not tell the value of an auth header,
// and resets what an update leaves out.
func forgetsTheAuthHeader(platform http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var object map[string]any
		switch r.Method {
		case http.MethodPut:
			_ = json.NewDecoder(r.Body).Decode(&object)
			for _, name := range []string{"authHeaderKey", "authHeaderValue"} {
				if object[name] == nil {
					object[name] = ""
				}
			}
			body, _ := json.Marshal(object)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			platform.ServeHTTP(w, r)
		case http.MethodGet:
			late := &lateWriter{ResponseWriter: w, code: http.StatusOK}
			platform.ServeHTTP(late, r)
			if json.Unmarshal(late.body, &object) == nil {
				delete(object, "authHeaderValue")
				late.body, _ = json.Marshal(object)
			}
			w.Header().Del("Content-Length")
			late.flush()
		default:
			platform.ServeHTTP(w, r)
		}
	})
}

// TestWebhookRotateKeepsTheAuthHeader that is configured, where the platform does not
// tell it.
func TestWebhookRotateKeepsTheAuthHeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ configured, want string }{
		"the same header": {"x-platform-auth", "hunter2-auth"},
		"another header":  {"X-Other", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, p := newStack(t), newStandIn(t, forgetsTheAuthHeader)
			s.hook.AuthHeaderKey, s.hook.AuthHeaderValue = "X-Platform-Auth", "hunter2-auth"
			p.know(t, s)
			r := runToEnd(t, s.environ(p.environ("AWAREID_AUTH_HEADER_KEY="+test.configured, "AWAREID_AUTH_HEADER_VALUE=hunter2-auth")...), "webhook", "rotate")
			require.Equal(t, exitOK, r.code, r.err)
			require.NotContains(t, r.out+r.err, "hunter2")
			hook, err := p.Webhook(s.hook.ID)
			require.NoError(t, err)
			require.NotEqual(t, s.hook.Secret, hook.Secret)
			require.Equal(t, test.want, hook.AuthHeaderValue)
		})
	}
}

// TestWebhookRotateWithoutAnAnswer: the platform has a new secret, tells nobody, and
// is run again.
func TestWebhookRotateWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	var lose, silent atomic.Bool
	p := newStandIn(t, func(platform http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodPut && lose.Load():
				silent.Store(true)
				platform.ServeHTTP(&lateWriter{ResponseWriter: w}, r)
				panic(http.ErrAbortHandler)
			case r.Method == http.MethodGet && silent.Load():
				w.WriteHeader(http.StatusNotFound)
			default:
				platform.ServeHTTP(w, r)
			}
		})
	})
	s := newStack(t)
	p.know(t, s)
	g := s.serve(t)
	lose.Store(true)
	environ := s.environ(p.environ()...)
	r := runToEnd(t, environ, "webhook", "rotate")
	require.Equal(t, exitFailed, r.code)
	require.Empty(t, r.out)
	require.Contains(t, r.err, "run it again at once")

	lose.Store(false)
	silent.Store(false)
	r = runToEnd(t, environ, "webhook", "rotate")
	require.Equal(t, exitOK, r.code, r.err)
	require.Contains(t, r.err, "No new one was asked for")
	e := newSample("enrollment.started")
	body, header := seal(t, p.scheme(t, s.hook.ID), e.body)
	require.Eventually(t, func() bool { return g.post(t, "", body, header).code == http.StatusOK }, patience, 50*time.Millisecond)
}
