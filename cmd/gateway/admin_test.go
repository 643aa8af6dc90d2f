package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/simulator"
	"awareid-gateway/internal/verify"
)

// TestAdmin has the names that dashboards and alerts are built on.
func TestAdmin(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	g := s.serve(t)
	e := newSample("enrollment.completed")
	body, header := seal(t, simulator.Scheme{Secret: s.hook.Secret}, e.body)
	requireAnswer(t, http.StatusOK, "accepted", e.id, g.post(t, "", body, header))
	requireAnswer(t, http.StatusOK, "duplicate", e.id, g.post(t, "", body, header))
	requireUnauthorized(t, g.post(t, "", append(body, ' '), header))
	body, header = seal(t, simulator.Scheme{Secret: s.hook.Secret, Cipher: "none"}, []byte("{}"))
	requireAnswer(t, http.StatusAccepted, "quarantined", "", g.post(t, "", body, header))

	require.JSONEq(t, `{"status":"ok"}`, g.get("/livez").body)
	require.JSONEq(t, `{"status":"ok","checks":{"store":"ok","kafka":"ok","spool":"ok"}}`, g.get("/readyz").body)
	metrics := g.get("/metrics")
	require.Equal(t, http.StatusOK, metrics.code)
	hook := `webhook="` + s.hook.ID + `"`
	for _, line := range []string{
		`gateway_events_total{family="enrollment",outcome="accepted",` + hook + `} 1`,
		`gateway_events_total{family="enrollment",outcome="duplicate",` + hook + `} 1`,
		`gateway_quarantined_total{reason="malformed",` + hook + `} 1`,
		`gateway_http_answers_total{code="200"} 2`,
		`gateway_http_answers_total{code="202"} 1`,
		`gateway_http_answers_total{code="401"} 1`,
		`gateway_refusals_total{cause="signature"} 1`,
		`gateway_signature_scheme{encoding="hex",form="base64",hash="sha256",header="X-Aware-Signature",` + hook + `} 1`,
		`gateway_secret_used_total{key="` + verify.Secret{Value: s.hook.Secret}.ID() + `",secret="0",` + hook + `} 3`,
		`gateway_request_seconds_count{outcome="accepted"} 1`,
		`gateway_body_bytes 0`,
		`gateway_build_info{version="dev"} 1`,
		`gateway_claims_inherited_total 0`,
		`gateway_claims_lost_total 0`,
		`gateway_produce_unknown_total 0`,
	} {
		require.Contains(t, metrics.body, "\n"+line+"\n")
	}
	for _, name := range []string{"gateway_connections", "gateway_claims_confirmed_total", "go_goroutines", "process_open_fds"} {
		require.Contains(t, metrics.body, "\n"+name+" ")
	}
	require.NotContains(t, metrics.body, e.id)
	require.NotContains(t, metrics.body, s.hook.Secret)
}

// TestProbes are there without the token that the admin listener wants.
func TestProbes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	const token = "a-token-for-operators"
	s.client.Transport = bearer{token: token, next: s.client.Transport}
	g := s.serve(t, "ADMIN_TOKEN="+token, "PROBE_ADDR=127.0.0.1:0")
	probe := "http://" + g.await(t, g.err, 1, `"listener":"probe","address":"([^"]+)"`)[1]
	get := func(url string) int {
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	require.Equal(t, http.StatusOK, get(probe+"/livez"))
	require.Equal(t, http.StatusOK, get(probe+"/readyz"))
	require.Equal(t, http.StatusNotFound, get(probe+"/metrics"))
	require.Equal(t, http.StatusUnauthorized, get(g.admin+"/metrics"))
	require.Equal(t, http.StatusOK, g.get("/metrics").code)
	require.NotContains(t, g.err.String(), token)
}

// bearer adds the token to each request.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.next.RoundTrip(r)
}
