package server_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// conn is a connection without an HTTP client, which would hide what matters.
type conn struct {
	net.Conn
	r *bufio.Reader
}

func (g *gateway) dial(t *testing.T) *conn {
	c := g.dialAs(t, nil)
	if over, ok := c.Conn.(*tls.Conn); ok {
		require.NoError(t, over.HandshakeContext(t.Context()))
	}
	return c
}

// elsewhere is an address that dial does not come from.
var elsewhere = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}

// dialAs comes from an address, and leaves a TLS handshake to the first request.
func (g *gateway) dialAs(t *testing.T, local net.Addr) *conn {
	c := dialFrom(t, g.address, local)
	if g.client == nil {
		return c
	}
	over := tls.Client(c.Conn, g.client)
	return &conn{Conn: over, r: bufio.NewReader(over)}
}

func dialFrom(t *testing.T, address string, local net.Addr) *conn {
	c, err := (&net.Dialer{LocalAddr: local}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(15*time.Second)))
	return &conn{Conn: c, r: bufio.NewReader(c)}
}

// send does not mind a server that has hung up: what it answered shows then.
func (c *conn) send(raw ...string) *conn {
	for _, part := range raw {
		io.WriteString(c, part)
	}
	return c
}

// answer is a response, read whole.
type answer struct {
	status int
	header http.Header
	body   string
}

func (c *conn) answer(t *testing.T) answer {
	t.Helper()
	response, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err, "an answer")
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if response.Close {
		response.Header.Set("Connection", "close")
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

// ended asserts that nothing more comes, not even an answer to what a server
// could take for another request.
func (c *conn) ended(t *testing.T) {
	t.Helper()
	rest, err := io.ReadAll(c.r)
	require.Empty(t, string(rest))
	require.False(t, errors.Is(err, os.ErrDeadlineExceeded), "the connection stays open")
}

// hungUp asserts both halves of a refusal that ends the connection.
func (c *conn) hungUp(t *testing.T, a answer) {
	t.Helper()
	require.Equal(t, "close", a.header.Get("Connection"))
	c.ended(t)
}

// exchange sends one request on a connection of its own.
func (g *gateway) exchange(t *testing.T, raw string) answer {
	t.Helper()
	c := g.dial(t)
	defer c.Close()
	return c.send(raw).answer(t)
}

// post is a request as it goes over the wire.
func post(path string, header http.Header, body []byte) string {
	header = maps.Clone(header)
	header.Set("Content-Length", fmt.Sprint(len(body)))
	return head("POST", path, header) + string(body)
}

// chunked is a post in chunks of at most a size.
func chunked(path string, header http.Header, body []byte, size int) string {
	header = maps.Clone(header)
	header.Set("Transfer-Encoding", "chunked")
	var b strings.Builder
	b.WriteString(head("POST", path, header))
	for part := range slices.Chunk(body, size) {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
	}
	return b.String() + "0\r\n\r\n"
}

func head(method, path string, header http.Header) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: gateway.test\r\n", method, path)
	header.Write(&b)
	return b.String() + "\r\n"
}

// sealed is an event as the platform sends it.
func sealed(t testing.TB, s simulator.Scheme, event []byte) (http.Header, []byte) {
	t.Helper()
	body, header, err := s.Seal(event)
	require.NoError(t, err)
	return header, body
}

// signed is the whole request of an event.
func (g *gateway) signed(t testing.TB, event []byte) string {
	t.Helper()
	header, body := sealed(t, g.scheme, event)
	return post(server.Path, header, body)
}

// valid is a request that the gateway accepts.
func (g *gateway) valid(t testing.TB) string {
	t.Helper()
	_, event := newEvent()
	return g.signed(t, event)
}

type document struct {
	Type, Title, Detail string
	Status              int
}

// requireProblem asserts that an answer is the problem document of a status, and
// returns its detail.
func requireProblem(t *testing.T, a answer, status int) string {
	t.Helper()
	require.Equal(t, status, a.status, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	var d document
	decoder := json.NewDecoder(strings.NewReader(a.body))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&d), a.body)
	require.Equal(t, "about:blank", d.Type)
	require.Equal(t, titles[status], d.Title)
	require.Equal(t, status, d.Status)
	require.Empty(t, a.header.Get("Server"))
	return d.Detail
}

// titles are the names of RFC 9110 and 6585.
var titles = map[int]string{
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	408: "Request Timeout", 413: "Content Too Large", 415: "Unsupported Media Type", 429: "Too Many Requests",
	431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
}

// requireStatus asserts a 2xx answer.
func requireStatus(t *testing.T, a answer, code int, status, id string) {
	t.Helper()
	require.Equal(t, code, a.status, a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	want := fmt.Sprintf(`{"status":%q}`, status)
	if id != "" {
		want = fmt.Sprintf(`{"status":%q,"id":%q}`, status, id)
	}
	require.JSONEq(t, want, a.body)
}

// outcome reads an answer in a goroutine that may not fail the test: the status
// of an event's 200, or what came in its place.
func (c *conn) outcome(id string) string {
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return err.Error()
	}
	var body struct{ Status, ID string }
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || response.StatusCode != 200 || body.ID != id {
		return fmt.Sprint(response.Status, " ", body, " ", err)
	}
	return body.Status
}
