package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

const simulatedSums = `webhook (\w+): events (\d+), lost (\d+), sent (\d+) = accepted (\d+) \+ duplicate (\d+) \+ spooled 0 \+ quarantined 0 \+ rejected (\d+) \+ failed 0; Kafka should hold (\d+)\n`

func TestSimulate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ flags, gateway []string }{
		"as it comes":   {nil, nil},
		"with mishaps":  {[]string{"--loss=0.3", "--repeat=0.8", "--reorder=0.5", "--tamper=0.8", "--seed=3"}, nil},
		"bare":          {[]string{"--cipher=bare-cbc", "--encoding=base64url"}, nil},
		"not encrypted": {[]string{"--cipher=none", "--size=50000"}, nil},
		"unsigned": {[]string{"--unsigned"}, []string{
			"SIGNATURE_REQUIRED=false", "AWAREID_AUTH_HEADER_KEY=X-Auth", "AWAREID_AUTH_HEADER_VALUE=let-me-in",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			g := s.serve(t, append(test.gateway, "SPOOL_DIR=none")...)
			r := runToEnd(t, append(secretOf(s), test.gateway...), append([]string{
				"simulate", "--addr=127.0.0.1:0", "--target=" + g.url + server.Path, "--count=60", "--rate=0",
			}, test.flags...)...)
			require.Equal(t, exitOK, r.code, r.out+r.err)
			sums := regexp.MustCompile(simulatedSums + "$").FindStringSubmatch(r.out)
			require.NotNil(t, sums, r.out)
			require.Equal(t, []string{s.hook.ID, "60"}, sums[1:3])
			require.Equal(t, sums[8], strconv.Itoa(len(s.records(t))))
			require.Equal(t, sums[5], sums[8])
			require.Equal(t, sums[4], strconv.Itoa(strings.Count(r.out, "POST  ")))
		})
	}
}

func TestSimulateJSON(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t, "SPOOL_DIR=none")
	r := runToEnd(t, secretOf(s), "simulate", "--addr=127.0.0.1:0", "--target="+g.url+server.Path, "--count=10", "--rate=0", "--json")
	require.Equal(t, exitOK, r.code, r.out+r.err)
	printed := lines(r.out)
	var last struct {
		Webhook string
		Tally   simulator.Tally
	}
	require.NoError(t, json.Unmarshal([]byte(printed[len(printed)-1]), &last))
	require.Equal(t, s.hook.ID, last.Webhook)
	require.Equal(t, 10, last.Tally.Accepted)
	require.Len(t, printed, last.Tally.Sent+1)
	for _, line := range printed[:len(printed)-1] {
		var post map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &post))
		require.Subset(t, []any{"accepted", "duplicate", "rejected"}, []any{post["outcome"]})
	}
}

func TestSimulateFails(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t, "SPOOL_DIR=none")
	target := "--target=" + g.url + server.Path
	wrong := []string{"AWAREID_WEBHOOK_ID=" + s.hook.ID, "AWAREID_WEBHOOK_SECRETS=" + newDevWebhook().Secret}
	for _, test := range []struct {
		name    string
		environ []string
		flags   []string
		code    int
		want    string
	}{
		{"wrong secret", wrong, []string{target}, exitFailed, "events taken: 0, want 3"},
		{"taken address", secretOf(s), []string{target, "--addr=" + strings.TrimPrefix(g.url, "http://")}, exitFailed, "address already in use"},
		{"no secret", nil, []string{target}, exitUsage, "AWAREID_WEBHOOK_SECRETS"},
		{"bad target", secretOf(s), []string{"--target=here"}, exitUsage, "url"},
		{"unknown flag", secretOf(s), []string{"--loud"}, exitUsage, "--loud"},
		{"unknown form", secretOf(s), []string{"--form=both"}, exitUsage, "--form"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := runToEnd(t, test.environ, append([]string{"simulate", "--addr=127.0.0.1:0", "--count=3", "--rate=0"}, test.flags...)...)
			require.Equal(t, test.code, r.code, r.out+r.err)
			require.Contains(t, r.err, test.want)
		})
	}
	require.Empty(t, s.records(t))
}

// TestSimulateRegistration does what an operator does: register a webhook at
// the platform, configure the gateway with the answer, and receive.
func TestSimulateRegistration(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	platform := start(t, nil, "simulate", "--addr=127.0.0.1:0", "--count=20", "--rate=0", "--customer=acme")
	base := platform.await(t, platform.err, 1, `stands in at (http://\S+)`)[1]
	door, open := gatewayToCome(t)

	token := s.call(t, base, http.MethodPost, "/auth/realms/acme-consumers/protocol/openid-connect/token", "", []byte(url.Values{
		"grant_type": {"client_credentials"}, "scope": {"openid"}, "client_id": {"simulator"}, "client_secret": {"simulator"},
	}.Encode()))
	registration, err := json.Marshal(map[string]any{
		"url": door + server.Path, "events": simulator.Types(), "authHeaderKey": "X-Auth", "authHeaderValue": "let-me-in",
	})
	require.NoError(t, err)
	hook := s.call(t, base, http.MethodPost, "/webhook/registration", token["access_token"].(string), registration)
	s.hook = simulator.Webhook{ID: hook["webhookId"].(string), Secret: hook["secret"].(string)}

	// Without a spool, so that every event comes to an accepted: the platform retries.
	g := s.serve(t, "SPOOL_DIR=none", "AWAREID_AUTH_HEADER_KEY=X-Auth", "AWAREID_AUTH_HEADER_VALUE=let-me-in")
	open(g.url)
	sums := platform.await(t, platform.out, 1, simulatedSums)
	require.Equal(t, []string{s.hook.ID, "20"}, sums[1:3])
	require.Equal(t, exitOK, platform.end(t), platform.lastWords())
	require.Len(t, s.records(t), 20)
}

// gatewayToCome is an address that answers 503 until open names what stands behind it.
func gatewayToCome(t *testing.T) (address string, open func(string)) {
	t.Helper()
	var behind atomic.Pointer[httputil.ReverseProxy]
	transport := &http.Transport{}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy := behind.Load()
		if proxy == nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	t.Cleanup(transport.CloseIdleConnections)
	return front.URL, func(address string) {
		target, err := url.Parse(address)
		require.NoError(t, err)
		behind.Store(&httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	}
}

// call asks the stand-in platform.
func (s *stack) call(t *testing.T, base, method, path, token string, body []byte) map[string]any {
	t.Helper()
	request, err := http.NewRequest(method, base+path, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	if token == "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("apikey", "simulator")
	a, err := s.do(request)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, a.code, a.body)
	var object map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &object))
	return object
}
