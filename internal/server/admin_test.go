package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/verify"
)

const token = "canary-admin-token"

// serveAdmin starts both listeners of an Admin.
func serveAdmin(t *testing.T, opts server.AdminOptions) (a *server.Admin, admin, probes *gateway) {
	if opts.Gatherer == nil {
		opts.Gatherer = prometheus.NewRegistry()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	a = server.NewAdmin(opts)
	serve := func(serve func(net.Listener) error) *gateway {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		served := make(chan error, 1)
		go func() { served <- serve(l) }()
		t.Cleanup(func() {
			if err := <-served; err != nil {
				t.Error("the admin listener ends with", err)
			}
		})
		return &gateway{address: l.Addr().String()}
	}
	admin, probes = serve(a.Serve), serve(a.ServeProbes)
	t.Cleanup(func() {
		if err := within(10*time.Second, a.Shutdown); err != nil {
			t.Error("the admin listener does not stop:", err)
		}
	})
	return a, admin, probes
}

// get asks an admin listener as a browser or a script would.
func (g *gateway) get(t *testing.T, path, host string, header http.Header) answer {
	t.Helper()
	if header == nil {
		header = http.Header{}
	}
	return g.exchange(t, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\n"+lines(header)+"\r\n")
}

func lines(header http.Header) (s string) {
	for name, values := range header {
		for _, v := range values {
			s += name + ": " + v + "\r\n"
		}
	}
	return s
}

type readiness struct {
	Status string
	Checks map[string]string
}

func TestReadiness(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	broken := errors.New("canary: dial tcp redis.internal:6379")
	var failing map[string]error
	check := func(name string, ask func(context.Context) error) server.Check {
		return server.Check{Name: name, Ask: func(ctx context.Context) error {
			_, bounded := ctx.Deadline()
			return errors.Join(map[bool]error{false: errors.New("without a deadline")}[bounded], failing[name], ask(ctx))
		}}
	}
	var log bytes.Buffer
	a, admin, probes := serveAdmin(t, server.AdminOptions{Checks: []server.Check{
		check("store", g.store.Ping), check("kafka", func(context.Context) error { return nil }),
	}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	ready := func(code int, want readiness) {
		t.Helper()
		for _, listener := range []*gateway{admin, probes} {
			got := listener.get(t, "/readyz", "localhost", nil)
			require.Equal(t, code, got.status)
			require.Equal(t, "application/json", got.header.Get("Content-Type"))
			var r readiness
			require.NoError(t, json.Unmarshal([]byte(got.body), &r))
			require.Equal(t, want, r)
			require.NotContains(t, got.body, "canary")
			require.Equal(t, 200, listener.get(t, "/livez", "localhost", nil).status, "alive all the same")
		}
	}
	ready(200, readiness{"ok", map[string]string{"store": "ok", "kafka": "ok"}})
	failing = map[string]error{"kafka": broken}
	ready(503, readiness{"unavailable", map[string]string{"store": "ok", "kafka": "unavailable"}})
	failing = map[string]error{"kafka": broken, "store": broken}
	ready(503, readiness{"unavailable", map[string]string{"store": "unavailable", "kafka": "unavailable"}})
	failing = nil
	b.redis.SetError("LOADING")
	ready(503, readiness{"unavailable", map[string]string{"store": "unavailable", "kafka": "ok"}})
	b.redis.SetError("")
	ready(200, readiness{"ok", map[string]string{"store": "ok", "kafka": "ok"}})
	require.Equal(t, 2, strings.Count(log.String(), "not ready"), "once for each change")
	require.Equal(t, 2, strings.Count(log.String(), "ready again"))
	a.Stopping()
	ready(503, readiness{"stopping", map[string]string{"store": "ok", "kafka": "ok"}})
}

func TestMetricsOfATraffic(t *testing.T) {
	g := newBackend(t).serve(t)
	_, admin, _ := serveAdmin(t, server.AdminOptions{Gatherer: g.registry})
	raw := g.valid(t)
	for range 3 {
		g.exchange(t, raw)
	}
	g.exchange(t, post(server.Path, http.Header{}, nil))
	g.exchange(t, head("GET", "/canary", nil))
	header, body := sealed(t, g.scheme, []byte("{}"))
	g.exchange(t, post(server.Path, header, body))
	g.eventually(t, "gateway_connections", 0)

	a := admin.get(t, "/metrics", "127.0.0.1:9090", nil)
	require.Equal(t, 200, a.status)
	require.Contains(t, a.header.Get("Content-Type"), "text/plain")
	for _, line := range []string{
		`gateway_http_answers_total{code="200"} 3`, `gateway_http_answers_total{code="202"} 1`,
		`gateway_http_answers_total{code="401"} 1`, `gateway_http_answers_total{code="404"} 1`,
		`gateway_refusals_total{cause="auth_header"} 1`, `gateway_refusals_total{cause="path"} 1`,
		`gateway_events_total{family="enrollment",outcome="accepted",webhook="` + webhookID + `"} 1`,
		`gateway_events_total{family="enrollment",outcome="duplicate",webhook="` + webhookID + `"} 2`,
		`gateway_quarantined_total{reason="malformed",webhook="` + webhookID + `"} 1`,
		`gateway_secret_used_total{key="` + verify.Secret{Value: secret}.ID() + `",secret="0",webhook="` + webhookID + `"} 4`,
		`gateway_signature_scheme{encoding="hex",form="base64",hash="sha256",header="X-Aware-Signature",webhook="` + webhookID + `"} 1`,
		`gateway_request_seconds_count{outcome="accepted"} 1`,
		"gateway_connections 0", "gateway_body_bytes 0",
	} {
		require.Contains(t, a.body, "\n"+line+"\n")
	}
}

func TestAdminToken(t *testing.T) {
	_, admin, probes := serveAdmin(t, server.AdminOptions{Token: token})
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/unknown"} {
		for name, header := range map[string]http.Header{
			"none": {}, "another": {"Authorization": {"Bearer wrong"}}, "cut": {"Authorization": {"Bearer " + token[:5]}},
			"empty": {"Authorization": {"Bearer "}}, "basic": {"Authorization": {"Basic " + token}}, "bare": {"Authorization": {token}},
		} {
			a := admin.get(t, path, "localhost", header)
			require.NotEmpty(t, requireProblem(t, a, 401), name)
			require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
			require.NotContains(t, a.body, "canary")
		}
		want := map[bool]int{true: 404, false: 200}[path == "/unknown"]
		require.Equal(t, want, admin.get(t, path, "localhost", http.Header{"Authorization": {"Bearer " + token}}).status)
	}
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 404, "/": 404, "/api": 404} {
		require.Equal(t, want, probes.get(t, path, "10.1.2.3:8081", nil).status, "a kubelet has no token")
	}
}

// TestAdminHost: a page whose name was bound to our address must not read the
// admin listener through a browser, which sends what headers the page likes.
func TestAdminHost(t *testing.T) {
	_, admin, probes := serveAdmin(t, server.AdminOptions{Hosts: []string{"gateway.internal", "Upper.internal"}})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9090": 200, "LOCALHOST": 200, "127.0.0.1": 200, "127.0.0.1:9090": 200, "[::1]": 200, "[::1]:9090": 200,
		"10.1.2.3:9090": 200, "gateway.internal": 200, "Gateway.Internal:9090": 200, "upper.internal": 200,
		"evil.example": 403, "evil.example:9090": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403, "evil.example:localhost": 400, "gateway.internal.": 403,
	} {
		for _, header := range []http.Header{
			{}, {"X-Forwarded-Host": {"localhost"}}, {"X-Forwarded-Host": {"evil.example"}}, {"Forwarded": {"host=localhost"}}, {"X-Host": {"localhost"}},
		} {
			a := admin.get(t, "/livez", host, header)
			require.Equal(t, want, a.status, "%s %s", host, header)
			if want != 200 {
				requireProblem(t, a, want)
			}
		}
	}
	require.Equal(t, 200, probes.get(t, "/livez", "evil.example", nil).status, "there is nothing to read")
}

func TestAdminProblems(t *testing.T) {
	_, admin, probes := serveAdmin(t, server.AdminOptions{})
	for _, g := range []*gateway{admin, probes} {
		requireProblem(t, g.exchange(t, "GET /unknown HTTP/1.1\r\nHost: localhost\r\n\r\n"), 404)
		requireProblem(t, g.exchange(t, "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"), 405)
		requireProblem(t, g.exchange(t, "canary\r\n\r\n"), 400)
	}
}
