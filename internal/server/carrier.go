package server

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// carrier is what bytes go over, below TLS where there is TLS, which writes while it
// reads, too: it answers a peer that changes its keys (RFC 8446, section 4.6.3). One
// goroutine reads and writes.
type carrier struct {
	net.Conn
	visit
	transfer                // a stranger's
	writeTime time.Duration // in which a peer must take what is written at once
	refused   int           // requests since the last read
}

func newCarrier(c net.Conn, g *gate, from netip.Prefix, writeTime time.Duration) *carrier {
	carrier := &carrier{Conn: c, visit: visit{gate: g, from: from, known: g.knows(from)}, writeTime: writeTime}
	if !carrier.known {
		carrier.prepare()
	}
	return carrier
}

// Read reads. It ends a stranger's turn and waits for the next.
func (c *carrier) Read(p []byte) (int, error) {
	c.refused = 0
	if c.inTurns() {
		c.leave()
		return c.readInTurn(p)
	}
	return c.Conn.Read(p)
}

// Write writes, and fails where the peer does not take it in time: one that asks
// and never reads is cut. The time begins with the write, whatever was written
// before: fasthttp's own begins with the answer before, and a refusal of what
// came late on a kept connection would find it over.
func (c *carrier) Write(p []byte) (int, error) {
	c.Conn.SetWriteDeadline(time.Now().Add(c.writeTime))
	if c.inTurns() {
		return c.writeInTurn(p)
	}
	return c.Conn.Write(p)
}

// introduce ends its being a stranger's.
func (c *carrier) introduce() {
	c.visit.introduce()
	c.transfer = transfer{}
}

// CloseWrite ends our half.
func (c *carrier) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}
