package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"awareid-gateway/internal/server"
	"awareid-gateway/internal/simulator"
)

// exchangeTime is longer than the gateway takes for any answer, its read time-out
// included.
const exchangeTime = 20 * time.Second

// wire is a connection without an HTTP client, which would mend what is sent.
type wire struct {
	net.Conn              // TLS, where the gateway has it
	tcp      *net.TCPConn // beneath
	r        *bufio.Reader
}

// attackerAddr is the n-th address that attackers come from.
func attackerAddr(n int) net.Addr {
	return &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8), byte(n))}
}

// dialPause follows a dial that failed. It counts where the attack goes on behind it:
// a dialer may notice the end before its context says so.
const dialPause = 10 * time.Millisecond

// dial connects from the n-th address, and shakes hands where the gateway has TLS.
func (t target) dial(ctx context.Context, n int) (*wire, error) {
	c, err := (&net.Dialer{LocalAddr: attackerAddr(n), Timeout: exchangeTime}).DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%T is no TCP connection", c)
	}
	config := trusting(t.Certificate)
	if config == nil {
		return &wire{tcp, tcp, bufio.NewReader(tcp)}, nil
	}
	secured := tls.Client(tcp, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		tcp.Close()
		return nil, err
	}
	return &wire{secured, tcp, bufio.NewReader(secured)}, nil
}

// answer is a response, read whole.
type answer struct {
	status int // none: the connection ended without one
	body   string
	last   bool // the gateway ends the connection
}

// answer reads one.
func (w *wire) answer() answer {
	w.SetReadDeadline(time.Now().Add(exchangeTime))
	response, err := http.ReadResponse(w.r, nil)
	if err != nil {
		return answer{status: none, body: err.Error(), last: true}
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{status: none, body: err.Error(), last: true}
	}
	return answer{response.StatusCode, string(body), response.Close}
}

// exchange sends and reads one answer. It does not mind a gateway that hangs up
// while it still writes: what was answered shows then.
func (w *wire) exchange(raw []byte) answer {
	w.SetWriteDeadline(time.Now().Add(exchangeTime))
	w.Write(raw)
	return w.answer()
}

// word is the status in the gateway's own answers, "" in others.
func (a answer) word() string { return a.said().Status }

type said struct{ Status, ID string }

func (a answer) said() (s said) {
	json.Unmarshal([]byte(a.body), &s) // a problem document's status is a number, and not asked for
	return s
}

// rest is what else comes before the gateway hangs up, which it must.
func (w *wire) rest() (string, error) {
	w.SetReadDeadline(time.Now().Add(exchangeTime))
	b, err := io.ReadAll(io.LimitReader(w.r, 1<<20))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return string(b), errors.New("the connection stays open")
	}
	return string(b), nil
}

// stay returns when the gateway hangs up.
func (w *wire) stay() {
	w.SetReadDeadline(time.Time{})
	io.Copy(io.Discard, w.r)
}

// sealed is a request's header and body as the platform makes them.
type sealed struct {
	header http.Header
	body   []byte
}

func (t target) scheme() simulator.Scheme { return simulator.Scheme{Secret: t.Secret} }

func seal(s simulator.Scheme, event []byte) sealed {
	body, header, err := s.Seal(event)
	if err != nil {
		panic(err) // the scheme is ours
	}
	return sealed{header, body}
}

// head is a request's header section.
func head(method, path string, header http.Header) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: gateway.example\r\n", method, path)
	header.Write(&b)
	return b.String() + "\r\n"
}

// post is a request as it goes over the wire.
func (s sealed) post() []byte { return s.request("POST", server.Path) }

func (s sealed) request(method, path string) []byte {
	header := maps.Clone(s.header)
	header.Set("Content-Length", fmt.Sprint(len(s.body)))
	return append([]byte(head(method, path, header)), s.body...)
}

// newEvent is an event whose data is a JSON text, or none.
func newEvent(data string) (id string, event []byte) {
	id = uuid.NewString()
	return id, fmt.Appendf(nil, `{"id":%q,"created":%q,"type":"enrollment.started","operationToken":%q,"username":"nobody","data":%s}`,
		id, now(), uuid.NewString(), data)
}

// wait is false where the context ended first.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
