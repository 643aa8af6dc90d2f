package server_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"awareid-gateway/internal/server"
)

// marker is in every misframed request, to see that no answer quotes it.
const marker = "quoted-marker"

// misframed are header sections that leave the end of the body, or of the
// headers, to the reader's taste.
var misframed = map[string]string{
	"two lengths that differ":       "Host: h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
	"two lengths that agree":        "Host: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
	"a list of lengths":             "Host: h\r\nContent-Length: 5, 5\r\n\r\nhello",
	"a negative length":             "Host: h\r\nContent-Length: -1\r\n\r\n",
	"a length with a sign":          "Host: h\r\nContent-Length: +5\r\n\r\nhello",
	"a length that is hexadecimal":  "Host: h\r\nContent-Length: 0x5\r\n\r\nhello",
	"a length that overflows":       "Host: h\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
	"an empty length":               "Host: h\r\nContent-Length: \r\n\r\nhello",
	"length, then chunked":          "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"chunked, then length":          "Host: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
	"identity as transfer coding":   "Host: h\r\nTransfer-Encoding: identity\r\n\r\n",
	"identity with a length":        "Host: h\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
	"gzip as transfer coding":       "Host: h\r\nTransfer-Encoding: gzip\r\n\r\n",
	"gzip, chunked":                 "Host: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
	"chunked, chunked":              "Host: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
	"chunked with a parameter":      "Host: h\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
	"chunked in quotes":             "Host: h\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
	"an empty coding":               "Host: h\r\nTransfer-Encoding:\r\n\r\n",
	"chunked on two lines":          "Host: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"identity, then chunked":        "Host: h\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"a vertical tab before chunked": "Host: h\r\nTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n",
	"a folded line":                 "Host: h\r\nX-A: a\r\n b\r\n\r\n",
	"a folded coding":               "Host: h\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
	"a folded length":               "Host: h\r\nContent-Length: 1\r\n 0\r\n\r\n0123456789",
	"a fold of nothing":             "Host: h\r\nX-A: a\r\n\t\r\n\r\n",
	"a first line that is folded":   " X-A: a\r\nHost: h\r\n\r\n",
	"a blank before the colon":      "Host: h\r\nContent-Length : 5\r\n\r\nhello",
	"a tab before the colon":        "Host: h\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
	"a blank in a name":             "Host: h\r\nX A: a\r\n\r\n",
	"no name":                       "Host: h\r\n: a\r\n\r\n",
	"no colon":                      "Host: h\r\nX-A\r\n\r\n",
	"NUL in a name":                 "Host: h\r\nX-\x00A: a\r\n\r\n",
	"NUL in a value":                "Host: h\r\nX-A: a\x00b\r\n\r\n",
	"CR in a value":                 "Host: h\r\nX-A: a\rb\r\n\r\n",
	"CR before the end of a line":   "Host: h\r\nX-A: a\r\r\n\r\n",
	"a control character in a name": "Host: h\r\nX-\x01A: a\r\n\r\n",
	"a bare line feed":              "Host: h\r\nX-A: a\nX-B: b\r\n\r\n",
	"a bare line feed and a length": "Host: h\r\nX-A: a\nContent-Length: 5\r\n\r\nhello",
	"a bare line feed at the end":   "Host: h\r\nX-A: a\r\n\n",
	"only bare line feeds":          "Host: h\nX-A: a\n\n",
	"no host":                       "X-A: a\r\n\r\n",
	"an empty host":                 "Host:\r\n\r\n",
	"two hosts":                     "Host: a\r\nHost: b\r\n\r\n",
	"two hosts that agree":          "Host: a\r\nHost: a\r\n\r\n",
	"a space in the host":           "Host: a b\r\n\r\n",
}

// TestMisframedRequestsEndTheConnection, whatever the method; TestBadInput has
// POST.
func TestMisframedRequestsEndTheConnection(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	smuggled := g.valid(t)
	for name, rest := range misframed {
		for _, method := range []string{"GET", "PURGE"} {
			t.Run(name+" "+method, func(t *testing.T) {
				requireRefusedFrame(t, g, method+" "+server.Path+"?"+marker+" HTTP/1.1\r\nX-Marker: "+marker+"\r\n"+rest, smuggled)
			})
		}
	}
	require.Zero(t, b.stored(t), "nothing that was smuggled has an effect")
	require.NotContains(t, g.log.String(), marker)
	require.NotContains(t, g.metrics(), marker)
}

// requireRefusedFrame sends a request and, in the same bytes, a second one: the
// one answer is the fixed 400, and the connection ends.
func requireRefusedFrame(t *testing.T, g *gateway, raw, smuggled string) {
	t.Helper()
	c := g.dial(t)
	defer c.Close()
	a := c.send(raw + smuggled).answer(t)
	require.Empty(t, requireProblem(t, a, 400))
	require.Equal(t, `{"type":"about:blank","title":"Bad Request","status":400}`, a.body)
	c.hungUp(t, a)
}

// TestABodyBelongsToItsRequest whatever the method: what is in it is no request.
func TestABodyBelongsToItsRequest(t *testing.T) {
	b := newBackend(t)
	g := b.serve(t)
	body := []byte(g.valid(t))
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "PURGE"} {
		for name, request := range map[string]string{
			"length":  post(server.Path, http.Header{}, body),
			"chunked": chunked(server.Path, http.Header{}, body, 100),
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				c := g.dial(t)
				defer c.Close()
				c.send(method + strings.TrimPrefix(request, "POST") + "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
				answers, err := io.ReadAll(c.r)
				require.NoError(t, err)
				require.Contains(t, string(answers), "405 Method Not Allowed")
				require.NotContains(t, string(answers), "200 OK")
				require.NotContains(t, string(answers), "HTTP/1.1 400")
				require.LessOrEqual(t, strings.Count(string(answers), "HTTP/1.1 404"), 1)
			})
		}
	}
	require.Zero(t, b.stored(t))
}

// FuzzWellFramed: where a header section passes, the server's parser and the
// standard library's, which were written apart, find the same body and the same
// rest. That is what no proxy in front should be able to disagree with.
func FuzzWellFramed(f *testing.F) {
	for _, rest := range misframed {
		f.Add([]byte(rest))
	}
	f.Add([]byte("Host: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte("Host: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, rest []byte) {
		raw := append([]byte("POST / HTTP/1.1\r\n"), rest...)
		var ours fasthttp.Request
		r := bufio.NewReaderSize(bytes.NewReader(raw), 16<<10)
		if ours.Header.Read(r) != nil || !server.WellFramed(ours.Header.RawHeaders()) {
			return
		}
		if ours.ContinueReadBodyStream(r, 1<<20, false) != nil {
			return
		}
		var got []byte
		if stream := ours.BodyStream(); stream != nil {
			var err error
			if got, err = io.ReadAll(stream); err != nil {
				return
			}
		}
		left, _ := io.ReadAll(r)

		std := bufio.NewReader(bytes.NewReader(raw))
		theirs, err := http.ReadRequest(std)
		if err != nil {
			return // stricter than we are
		}
		body, err := io.ReadAll(theirs.Body)
		if err != nil {
			return
		}
		stdLeft, _ := io.ReadAll(std)
		if !bytes.Equal(got, body) || !bytes.Equal(left, stdLeft) {
			t.Errorf("body %q and rest %q, net/http has %q and %q", got, left, body, stdLeft)
		}
	})
}

// FuzzWellFramedLines: what passes is lines of a name, a colon and a value, each
// with its CRLF, and says at most once where the body ends.
func FuzzWellFramedLines(f *testing.F) {
	for _, rest := range misframed {
		head, _, _ := strings.Cut(rest, "\r\n\r\n")
		f.Add([]byte(head + "\r\n\r\n"))
	}
	f.Add([]byte("Host: h\r\nContent-Length: 5\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !server.WellFramed(raw) {
			return
		}
		framing := 0
		for line := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\r\n"), "\r\n") {
			name, _, found := strings.Cut(line, ":")
			if line != "" && (!found || name == "" || strings.ContainsAny(name, " \t") || strings.ContainsAny(line, "\r\n\x00")) {
				t.Errorf("passes: %q", line)
			}
			if name := strings.ToLower(name); name == "content-length" || name == "transfer-encoding" {
				framing++
			}
		}
		if framing > 1 {
			t.Error("passes:", fmt.Sprintf("%q", raw))
		}
	})
}
