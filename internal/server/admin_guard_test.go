package server_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// change is a request that changes something, if it is let.
func change(method, path string, header http.Header) string {
	return method + " " + path + " HTTP/1.1\r\nHost: localhost:9090\r\nContent-Length: 2\r\n" + lines(header) + "\r\n{}"
}

// withAPI is an API that says that it was called.
func withAPI(opts server.AdminOptions) (server.AdminOptions, *int) {
	called := new(int)
	opts.API = map[string]http.Handler{"/api/thing": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*called++
		io.WriteString(w, r.Method)
	})}
	return opts, called
}

// TestAdminCrossSite: a page of another site changes nothing through a browser.
func TestAdminCrossSite(t *testing.T) {
	type headers = http.Header
	json := "application/json"
	for name, tc := range map[string]struct {
		method string
		header http.Header
		open   int // without a token
		token  int // with the right one
	}{
		"a program":           {"POST", headers{"Content-Type": {json}}, 200, 200},
		"a charset":           {"POST", headers{"Content-Type": {json + "; charset=utf-8"}}, 200, 200},
		"no content type":     {"POST", headers{}, 415, 200},
		"a form":              {"POST", headers{"Content-Type": {"application/x-www-form-urlencoded"}}, 415, 200},
		"a form with files":   {"POST", headers{"Content-Type": {"multipart/form-data; boundary=x"}}, 415, 200},
		"a form of text":      {"POST", headers{"Content-Type": {"text/plain"}}, 415, 200},
		"text that says json": {"POST", headers{"Content-Type": {"text/plain; application/json"}}, 415, 200},
		"delete":              {"DELETE", headers{}, 200, 200},
		"put":                 {"PUT", headers{}, 415, 200},
		"another site":        {"POST", headers{"Content-Type": {json}, "Sec-Fetch-Site": {"cross-site"}}, 403, 403},
		"the same site":       {"POST", headers{"Content-Type": {json}, "Sec-Fetch-Site": {"same-site"}}, 403, 403},
		"its own page":        {"POST", headers{"Content-Type": {json}, "Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://localhost:9090"}}, 200, 200},
		"another origin":      {"POST", headers{"Content-Type": {json}, "Origin": {"http://evil.example"}}, 403, 403},
		"another port":        {"DELETE", headers{"Origin": {"http://localhost:9091"}}, 403, 403},
		"a name of ours":      {"DELETE", headers{"Origin": {"https://console.internal:8443"}}, 200, 200},
		"no origin to tell":   {"DELETE", headers{"Origin": {"null"}}, 403, 403},
		"options":             {"OPTIONS", headers{"Origin": {"http://evil.example"}, "Access-Control-Request-Method": {"DELETE"}}, 405, 405},
		"reading":             {"GET", headers{"Sec-Fetch-Site": {"cross-site"}}, 200, 200},
	} {
		t.Run(name, func(t *testing.T) {
			for _, with := range []string{"", token} {
				opts, called := withAPI(server.AdminOptions{Token: with, Hosts: []string{"console.internal"}})
				_, admin, _ := serveAdmin(t, opts)
				header, want := tc.header.Clone(), tc.open
				if with != "" {
					header.Set("Authorization", "Bearer "+with)
					want = tc.token
				}
				a := admin.exchange(t, change(tc.method, "/api/thing", header))
				require.Equal(t, want, a.status, a.body)
				require.Equal(t, want == 200, *called == 1)
				if want != 200 {
					requireProblem(t, a, want)
				}
			}
		})
	}
}

// TestAdminHeaders: each answer, an error of the server itself among them, tells
// browsers to do nothing with it, and no page of another site to read it.
func TestAdminHeaders(t *testing.T) {
	opts, _ := withAPI(server.AdminOptions{Token: token})
	_, admin, probes := serveAdmin(t, opts)
	bearer := http.Header{"Authorization": {"Bearer " + token}}
	with := func(method, path string) string { return change(method, path, bearer) }
	for raw, want := range map[string]int{
		with("GET", "/livez"): 200, with("GET", "/metrics"): 200, with("POST", "/api/thing"): 200, with("GET", "/unknown"): 404,
		with("POST", "/livez"): 405, with("OPTIONS", "/metrics"): 405, with("PURGE", "/livez"): 400, "bad\r\n\r\n": 400,
		change("GET", "/livez", nil): 401, strings.Replace(with("GET", "/livez"), "localhost", "evil.example", 1): 403,
		with("GET", "/"+strings.Repeat("x", 8<<10)): 431,
	} {
		for _, listener := range []*gateway{admin, probes} {
			a := listener.exchange(t, raw)
			if listener == admin {
				require.Equal(t, want, a.status, raw)
			}
			for name, value := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "Server": "",
				"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				require.Equal(t, value, a.header.Get(name), "%s of %q", name, raw[:min(len(raw), 40)])
			}
			for name := range a.header {
				require.NotContains(t, name, "Access-Control")
			}
		}
	}
}

func TestAdminNamesTheMethodsThereAre(t *testing.T) {
	_, admin, _ := serveAdmin(t, server.AdminOptions{})
	require.Contains(t, admin.exchange(t, change("DELETE", "/livez", nil)).header.Get("Allow"), "GET")
	require.Contains(t, admin.exchange(t, change("OPTIONS", "/livez", nil)).header.Get("Allow"), "GET")
}

// TestAdminTokenRotates: each of several is taken, and another set without a
// restart.
func TestAdminTokenRotates(t *testing.T) {
	a, admin, _ := serveAdmin(t, server.AdminOptions{Token: token})
	status := func(given string) int {
		return admin.get(t, "/livez", "localhost", http.Header{"Authorization": {"Bearer " + given}}).status
	}
	const next = "canary-next-token"
	require.Equal(t, 401, status(next))
	require.NoError(t, a.SetToken(next+"\n"+token))
	require.Equal(t, 200, status(token))
	require.Equal(t, 200, status(next))
	require.NoError(t, a.SetToken(next))
	require.Equal(t, 401, status(token))
	require.Equal(t, 200, status(next))
	for _, bad := range []string{"", next + "\n", "\n"} {
		require.Error(t, a.SetToken(bad))
	}
	require.Equal(t, 200, status(next))

	open, _, _ := serveAdmin(t, server.AdminOptions{})
	require.Error(t, open.SetToken(token), "the loopback listener cannot begin to ask")
}

// TestAdminGuesses: an address that tries wrong tokens is soon not listened to.
func TestAdminGuesses(t *testing.T) {
	_, admin, _ := serveAdmin(t, server.AdminOptions{Token: token})
	c := admin.dial(t)
	status := func(given string) int {
		t.Helper()
		header := http.Header{}
		if given != "" {
			header.Set("Authorization", "Bearer "+given)
		}
		return c.send("GET /livez HTTP/1.1\r\nHost: localhost\r\n" + lines(header) + "\r\n").answer(t).status
	}
	for range 100 {
		require.Equal(t, 401, status(""), "who gives no token guesses none")
	}
	require.Equal(t, 200, status(token))
	refused := func() bool { return status("wrong") == 429 }
	require.Eventually(t, refused, 10*time.Second, time.Microsecond)
	require.Eventually(t, func() bool { return status(token) == 200 }, 10*time.Second, 10*time.Millisecond, "it is forgiven")
}

func TestAdminConnectionsAreCapped(t *testing.T) {
	_, admin, _ := serveAdmin(t, server.AdminOptions{})
	var open []*conn
	for range 128 {
		c := admin.dial(t)
		require.Equal(t, 200, c.send(change("GET", "/livez", nil)).answer(t).status)
		open = append(open, c)
	}
	admin.dial(t).ended(t)
	require.NoError(t, open[0].Close())
	require.Eventually(t, func() bool {
		c := admin.dial(t).send(change("GET", "/livez", nil))
		_, err := c.r.Peek(1)
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
}
