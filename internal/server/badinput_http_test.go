package server_test

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
)

// requestLines are none, or not ours; a header section follows each.
var requestLines = map[string]string{
	"a TLS handshake":                "\x16\x03\x01\x02\x00" + marker,
	"an HTTP/2 preface":              "PRI * HTTP/2.0\r\n\r\nSM\r\n",
	"a line that is one word":        marker,
	"a line without a version":       "POST " + server.Path,
	"a blank in place of a version":  "POST " + server.Path + " ",
	"HTTP/0.9":                       "GET /",
	"HTTP/1.2":                       "POST " + server.Path + " HTTP/1.2",
	"HTTP/2.0 by name":               "POST " + server.Path + " HTTP/2.0",
	"another protocol":               "POST " + server.Path + " HTCPCP/1.0",
	"two blanks in the line":         "POST  " + server.Path + " HTTP/1.1",
	"a blank in the path":            "POST " + server.Path + " " + marker + " HTTP/1.1",
	"NUL in the method":              "P\x00ST " + server.Path + " HTTP/1.1",
	"NUL in the path":                "POST " + server.Path + "\x00 HTTP/1.1",
	"a line feed in the path":        "POST " + server.Path + "\nx HTTP/1.1",
	"a blank before the method":      " POST " + server.Path + " HTTP/1.1",
	"chunked in HTTP/1.0":            "POST " + server.Path + " HTTP/1.0\r\nTransfer-Encoding: chunked",
	"the word timeout in a bad name": "POST " + server.Path + " HTTP/1.1\r\nX timeout\x01: a",
}

// badChunks are bodies that end in doubt.
var badChunks = map[string]string{
	"a chunk size that is none":           "x\r\n",
	"a chunk size with a sign":            "+1\r\na\r\n0\r\n\r\n",
	"a chunk size with a prefix":          "0x1\r\na\r\n0\r\n\r\n",
	"a chunk size that overflows":         "ffffffffffffffff1\r\na\r\n0\r\n\r\n",
	"a negative chunk size":               "-1\r\na\r\n0\r\n\r\n",
	"an empty chunk size":                 "\r\na\r\n0\r\n\r\n",
	"a blank before a chunk size":         " 1\r\na\r\n0\r\n\r\n",
	"a bare line feed after a chunk size": "1\na\r\n0\r\n\r\n",
	"a line feed in a chunk extension":    "1;a\nb\r\na\r\n0\r\n\r\n",
	"a chunk that is too long":            "1\r\nabc\r\n0\r\n\r\n",
	"a chunk that ends in LF":             "1\r\na\n0\r\n\r\n",
	"a trailer":                           "1\r\na\r\n0\r\nX-A: a\r\n\r\n",
	"a trailer that frames":               "1\r\na\r\n0\r\nContent-Length: 5\r\n\r\n",
	"a trailer of an address":             "1\r\na\r\n0\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
	"a trailer that is none":              "1\r\na\r\n0\r\nX A\r\n\r\n",
}

// targets are no path of ours, though some become one by decoding or cleaning.
var targets = map[string]string{
	"another path":                "/webhooks",
	"the root":                    "/",
	"a probe's path":              "/livez",
	"a slash behind the path":     server.Path + "/",
	"a webhook that is unknown":   server.Path + "/other",
	"a path below a webhook":      server.Path + "/a/b",
	"the path in upper case":      strings.ToUpper(server.Path),
	"a slash more":                "//webhooks/awareid",
	"an escaped letter":           "/webhooks/%61wareid",
	"an escaped slash":            "/webhooks%2fawareid",
	"an escaped NUL":              server.Path + "%00",
	"dots that lead there":        "/x/.." + server.Path,
	"escaped dots":                "/x/%2e%2e" + server.Path,
	"a backslash":                 `/webhooks\awareid`,
	"a parameter of the path":     server.Path + ";x",
	"a fragment":                  server.Path + "#x",
	"a target of another scheme":  "ftp://h" + server.Path,
	"a target that is an address": "h:80",
	"an asterisk":                 "*",
}

func requested(raw string) badInput {
	return badInput{raw: func(*testing.T, *gateway) string { return raw }}
}

// request is a line and header lines behind it.
func request(method, target string, lines ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(lines, "\r\n"), "\r\n")
}

// badInputs is a test for each row, by name.
func badInputs() map[string]badInput {
	all := map[string]badInput{}
	add := func(name string, input badInput) {
		if _, twice := all[name]; twice {
			panic("two tests for " + name)
		}
		all[name] = input
	}
	for name, rest := range misframed {
		add(name, requested("POST "+server.Path+" HTTP/1.1\r\n"+rest))
	}
	for name, line := range requestLines {
		add(name, requested(line+"\r\nHost: h\r\n\r\n"))
	}
	for name, body := range badChunks {
		add(name, requested("POST "+server.Path+" HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+body))
	}
	for name, target := range targets {
		add(name, requested("POST "+target+" HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"))
	}
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "post"} {
		add(method, requested(method+" "+server.Path+" HTTP/1.1\r\nHost: h\r\n\r\n"))
	}
	add("CONNECT", requested("CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n"))
	for _, more := range []map[string]badInput{connectionInputs(), headerInputs(), bodyInputs(), trustInputs(), contentInputs()} {
		for name, input := range more {
			add(name, input)
		}
	}
	return all
}

// hastyReader ends slow requests soon.
func hastyReader(s *setUp) { s.Limits.ReadTimeout = 150 * time.Millisecond }

func slow(raw string) badInput {
	input := requested(raw)
	input.alone, input.changes = true, []func(*setUp){hastyReader}
	return input
}

func connectionInputs() map[string]badInput {
	occupied := func(t *testing.T, g *gateway) { require.Equal(t, 404, g.dial(t).ping(t)) }
	inputs := map[string]badInput{
		"a connection that sends nothing": slow(""),
		"more than HTTP_MAX_CONNECTIONS":  {before: occupied, changes: []func(*setUp){func(s *setUp) { s.Limits.MaxConnections = 1 }}},
		"more than HTTP_MAX_CONNECTIONS_PER_ADDRESS": {before: occupied, changes: []func(*setUp){func(s *setUp) {
			s.Limits.MaxConnectionsPerAddress, s.Limits.TrustedProxies = 1, prefixes("192.0.2.1/32")
		}}},
	}
	for name, input := range inputs {
		if input.raw == nil {
			input.raw = func(*testing.T, *gateway) string { return "" }
		}
		inputs[name] = input
	}
	return inputs
}

func headerInputs() map[string]badInput {
	post := func(lines ...string) badInput {
		return badInput{raw: func(t *testing.T, g *gateway) string {
			return strings.Replace(g.valid(t), "\r\n", "\r\n"+strings.Join(append(lines, ""), "\r\n"), 1)
		}}
	}
	half := "POST " + server.Path + " HTTP/1.1\r\nHost: h\r\nX-A: a"
	return map[string]badInput{
		"more header bytes than allowed":          post("X-A: " + strings.Repeat("a", 17<<10)),
		"a path with more bytes than allowed":     requested(request("POST", "/"+strings.Repeat("a", 17<<10))),
		"more header lines than allowed":          post(strings.Split(strings.TrimSuffix(strings.Repeat("X-A: a\n", 101), "\n"), "\n")...),
		"half a request line":                     slow("POST /web"),
		"half a header":                           slow(half),
		"an expectation that is not known":        post("Expect: the-unexpected"),
		"100-continue to a path that is not ours": requested(request("POST", "/x", "Expect: 100-continue", "Content-Length: 5")),
		"an upgrade to WebSocket":                 post("Connection: Upgrade", "Upgrade: websocket"),
		"an upgrade to HTTP/2":                    post("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
		"a method in a header":                    post("X-HTTP-Method-Override: DELETE"),
		"Connection: close":                       post("Connection: close"),
		"a trailer that is announced":             post("Trailer: X-A"),
		"gzip as content coding":                  post("Content-Encoding: gzip"),
		"deflate as content coding":               post("Content-Encoding: deflate"),
		"two content codings":                     post("Content-Encoding: identity, gzip"),
		"content codings on two lines":            post("Content-Encoding: identity", "Content-Encoding: gzip"),
		"identity as content coding":              post("Content-Encoding: Identity"),
		"an address that is not allowed": {
			raw:     validOf,
			changes: []func(*setUp){func(s *setUp) { s.Limits.AllowedCIDRs = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }},
		},
		"more requests from an address than allowed": {
			raw:    validOf,
			alone:  true,
			before: func(t *testing.T, g *gateway) { require.Equal(t, 404, g.dial(t).ping(t)) },
			changes: []func(*setUp){func(s *setUp) {
				s.Limits.RequestsPerAddress, s.Limits.TrustedProxies = 1, prefixes("192.0.2.1/32")
			}},
		},
	}
}

func bodyInputs() map[string]badInput {
	large, chunks := make([]byte, 70_000), http.Header{"Transfer-Encoding": {"chunked"}}
	valid := func(edit func(raw string) string, changes ...func(*setUp)) badInput {
		return badInput{changes: changes, alone: true, raw: func(t *testing.T, g *gateway) string { return edit(g.valid(t)) }}
	}
	refusing := func(change func(*setUp)) badInput {
		return badInput{alone: true, raw: validOf, changes: []func(*setUp){change}}
	}
	inputs := map[string]badInput{
		"a body larger than allowed":          requested(post(server.Path, http.Header{}, large)),
		"a chunked body larger than allowed":  requested(chunked(server.Path, http.Header{}, large, 1000)),
		"a chunk larger than allowed":         requested(head("POST", server.Path, chunks) + "40000000\r\n" + string(large)),
		"a body that does not come":           valid(func(raw string) string { return raw[:strings.Index(raw, "\r\n\r\n")+4] }, hastyReader),
		"half a body":                         valid(func(raw string) string { return raw[:len(raw)-10] }, hastyReader),
		"a chunk that does not come":          slow(head("POST", server.Path, chunks) + "5\r\n"),
		"chunks without an end":               slow(head("POST", server.Path, chunks) + "1\r\na\r\n0\r\n"),
		"a body that is cut":                  valid(func(raw string) string { return raw[:len(raw)-10] }),
		"a chunked body that is cut":          requested(head("POST", server.Path, chunks) + "5\r\nab"),
		"a body where none is asked for":      requested("GET" + strings.TrimPrefix(post(server.Path, http.Header{}, []byte("a")), "POST")),
		"a body for a path that is not ours":  requested(post("/x", http.Header{}, []byte("a"))),
		"no room in HTTP_BODY_BUDGET_BYTES":   refusing(func(s *setUp) { s.Limits.BodyBudgetBytes = 10 }),
		"more than HTTP_MAX_REQUESTS at work": refusing(func(s *setUp) { s.Limits.MaxRequests = 0 }),
		"a chunk with an extension":           {raw: func(t *testing.T, g *gateway) string { return g.inChunks(t, ";a=b") }},
		"a chunk size with zeros ahead":       {raw: func(t *testing.T, g *gateway) string { return g.inChunks(t, "") }},
	}
	for _, name := range []string{"a body that is cut", "a chunked body that is cut"} {
		input := inputs[name]
		input.alone, input.cut = true, true
		inputs[name] = input
	}
	return inputs
}

// inChunks is an event in one chunk, with something behind its size.
func (g *gateway) inChunks(t *testing.T, extension string) string {
	t.Helper()
	_, event := newEvent()
	header, body := sealed(t, g.scheme, event)
	header.Set("Transfer-Encoding", "chunked")
	return head("POST", server.Path, header) + fmt.Sprintf("00%x%s\r\n%s\r\n0\r\n\r\n", len(body), extension, body)
}

func validOf(t *testing.T, g *gateway) string { return g.valid(t) }
