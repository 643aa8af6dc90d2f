package server

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"time"
)

// carrier is what bytes go over, below TLS where there is TLS, which writes while it
// reads, too: it answers a peer that changes its keys (RFC 8446, section 4.6.3). As of
// any connection, one goroutine may read while another one writes.
type carrier struct {
	net.Conn
	visit
	in, out   *transfer     // a stranger's; nil: Conn moves its bytes itself
	writeTime time.Duration // in which a peer must take what is written at once
	refused   int           // requests since the last read
}

func newCarrier(c net.Conn, g *gate, from netip.Prefix, writeTime time.Duration) *carrier {
	carrier := &carrier{Conn: c, visit: visit{gate: g, from: from}, writeTime: writeTime}
	if !g.knows(from) {
		carrier.gone = make(chan struct{})
		carrier.in, carrier.out = transfers(c, &carrier.visit)
	}
	return carrier
}

// Read reads. It ends a stranger's turn and begins the next, and a request of the known
// is under way from one that brings bytes to the next.
func (c *carrier) Read(p []byte) (int, error) {
	c.refused = 0
	if len(p) == 0 {
		return c.Conn.Read(p)
	}
	c.leave()
	if c.in == nil {
		n, err := c.Conn.Read(p)
		if n > 0 {
			c.begin()
		}
		return n, err
	}
	n, err := c.in.move(p)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Write writes, and fails where the peer does not take it in time: one that asks
// and never reads is cut. The time begins with the write, whatever was written
// before: fasthttp's own begins with the answer before, and a refusal of what
// came late on a kept connection would find it over.
//
// It goes on with a stranger's turn, or is one of its own. What TLS says while the
// connection is closed takes none.
func (c *carrier) Write(p []byte) (written int, err error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.writeTime))
	if c.ended() || c.out == nil {
		return c.Conn.Write(p)
	}
	if c.work.Load() == nil {
		defer c.leave()
	}
	for written < len(p) && err == nil {
		var n int
		n, err = c.out.move(p[written:])
		written += n
	}
	return written, err
}

// introduce ends its being a stranger's.
func (c *carrier) introduce() {
	if c.in != nil {
		c.gate.introduce(c.from)
		c.leave()
		c.in, c.out = nil, nil
	}
}

// CloseWrite ends our half.
func (c *carrier) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
