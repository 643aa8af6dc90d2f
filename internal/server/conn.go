package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// conn is a connection that is counted while it is open, and that knows how to
// end without harm to its peer.
//
// HTTP/1.1 has no word by which a server could end a connection that waits for
// a request: one that crosses the end is lost with it, and its sender cannot
// tell whether it was taken. So a peer is told with its next answer that the
// connection parts, and is left without one only where it has sent no request
// for a while, its patience.
type conn struct {
	net.Conn  // with TLS inside, where there is TLS
	carrier   *carrier
	peer      netip.Addr
	once      sync.Once
	closed    func()
	failed    func(how string, peer netip.Addr) // told of a handshake that failed
	secured   bool                              // the handshake is done; for Read alone
	lingering atomic.Bool
	rest

	mu       sync.Mutex
	parting  bool
	patience time.Duration
	waiting  bool      // for a request, of which nothing has been read
	since    time.Time // when it began to wait
	deadline time.Time // as fasthttp set it
}

// track follows a connection between its requests. One that is closed for fasthttp
// may rest.
func track(c net.Conn, state fasthttp.ConnState) {
	if c, ok := c.(*conn); ok && state != fasthttp.StateClosed {
		c.await(state == fasthttp.StateNew || state == fasthttp.StateIdle)
		c.keeps(state == fasthttp.StateIdle)
	}
}

func (c *conn) await(request bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	shortened := c.parting && c.waiting
	if c.waiting = request; request {
		c.since = time.Now()
	}
	if shortened {
		c.Conn.SetReadDeadline(c.readDeadline())
	}
}

// part lets the connection end: with its next answer, or when it has waited for
// a request so long.
func (c *conn) part(patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parting, c.patience = true, patience
	if c.waiting {
		c.Conn.SetReadDeadline(c.readDeadline())
	}
}

// parting ends a connection that parts with its answer.
func parting(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(ctx *fasthttp.RequestCtx) {
		next(ctx)
		c, ok := ctx.Conn().(*conn)
		if !ok {
			return
		}
		if parting, _ := c.parts(); parting {
			ctx.SetConnectionClose()
			c.linger()
		}
	}
}

func (c *conn) parts() (parting, waiting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parting, c.waiting
}

// SetReadDeadline sets it, or an earlier one for a request that is no longer
// waited for.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetReadDeadline(c.readDeadline())
}

func (c *conn) readDeadline() time.Time {
	switch {
	case c.parting && c.waiting:
		return earlier(c.deadline, c.since.Add(c.patience))
	case c.state == keepsBuffers:
		return earlier(c.deadline, c.since.Add(restAfter))
	}
	return c.deadline
}

// earlier is one of two times, the first of which may be none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// lastLook is for what has arrived, but was not seen when the time was up.
const lastLook = time.Millisecond

// Read reads. It is io.EOF where the connection parts and no request has come,
// where it is to rest, and where a handshake failed: there is no answer to give
// then.
func (c *conn) Read(p []byte) (int, error) {
	if c.secure() != nil {
		return 0, io.EOF
	}
	if n := c.takeFirst(p); n > 0 {
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return n, err
	}
	if c.lieDown() {
		return 0, io.EOF
	}
	if parting, waiting := c.parts(); !parting || !waiting {
		return n, err
	}
	c.Conn.SetReadDeadline(time.Now().Add(lastLook))
	if n, _ = c.Conn.Read(p); n > 0 {
		return n, nil
	}
	return 0, io.EOF
}

// introduce is told that an event has come over the connection, for the first time.
func introduce(over net.Conn) {
	if c, ok := over.(*conn); ok {
		c.carrier.introduce()
	}
}

// leaveGate is for a stranger who waits for something else than the peer.
func leaveGate(over net.Conn) {
	if c, ok := over.(*conn); ok && c.carrier.in != nil {
		c.carrier.leave()
	}
}

// giveWay lets others have their turn where a connection is refused several requests
// that came in one read. After the first of them it will wait for the next read
// anyhow, as a rule.
func giveWay(over net.Conn) {
	c, ok := over.(*conn)
	if !ok {
		return
	}
	if c.carrier.refused++; c.carrier.refused == 1 {
		return
	}
	if c.carrier.in == nil {
		runtime.Gosched()
	} else {
		c.carrier.pass()
	}
}

// linger makes Close wait a little for the peer to end. Where a connection is
// closed with bytes unread, the peer's system may drop the answer that tells
// why.
func (c *conn) linger() { c.lingering.Store(true) }

// How much is read and dropped, and for how long, of what a peer still sends
// after it was turned away.
const (
	lingerBytes = 16 << 20
	lingerTime  = 2 * time.Second
)

// Close closes the connection, unless it is to rest; it may be called repeatedly. It
// counts for as long as its close takes: TLS has a last word to send, and a peer may
// not read it.
func (c *conn) Close() (err error) {
	c.carrier.leave()
	if c.goToRest() {
		return nil
	}
	c.once.Do(func() {
		c.carrier.end()
		if c.lingering.Load() {
			c.drain()
		}
		err = c.Conn.Close()
		c.closed()
	})
	return err
}

// drain ends our half, of TLS and of what carries it, and drops what the peer
// still sends. Who closes may be another than who reads, so it has a carrier of its own.
func (c *conn) drain() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		_ = t.CloseWrite() // there is nothing to end where the handshake failed
	}
	below := newCarrier(c.carrier.Conn, c.carrier.gate, c.carrier.from, 0)
	defer below.leave()
	defer time.AfterFunc(lingerTime, below.end).Stop() // in line for the gate, too
	if below.CloseWrite() != nil || below.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	io.CopyN(io.Discard, below, lingerBytes)
}
