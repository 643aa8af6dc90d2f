package server

import (
	"net"
	"time"
)

// restAfter is how long a kept connection keeps its buffers for its next request.
// Of 10,000 connections with a request now and then hardly any has them, and one
// that is busy never goes without.
const restAfter = 100 * time.Millisecond

// rest is how a connection waits for its next request with no more memory than
// that takes. fasthttp leaves it the buffer that its header was read into, and all
// that it knows of a request, for as long as it is kept. So it is told that the
// connection has ended, which it has not, and gets it anew with the first byte of
// the next request.
type rest struct {
	state restState            // under the connection's lock
	first []byte               // what came while it rested
	serve func(net.Conn) error // nil: it never rests
}

type restState int

const (
	active       restState = iota // or new
	keepsBuffers                  // it waits, and may rest soon
	endedForNow                   // fasthttp was told so, and is about to close it
	resting
)

// keeps notes that an answer was sent and the next request is waited for, or that
// this has come.
func (c *conn) keeps(waits bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state = active; waits && c.serve != nil {
		c.state = keepsBuffers
	}
}

// lieDown is true where the connection is to rest: its time to keep buffers is
// over, that to wait is not.
func (c *conn) lieDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != keepsBuffers || c.parting || !c.deadline.IsZero() && !time.Now().Before(c.deadline) {
		return false
	}
	c.state = endedForNow
	return true
}

// goToRest is true, and has the connection rest, where that is why it is closed.
func (c *conn) goToRest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != endedForNow {
		return false
	}
	c.state = resting
	c.Conn.SetReadDeadline(c.readDeadline())
	go c.rests()
	return true
}

// rests waits for the next request and has it served.
func (c *conn) rests() {
	first := make([]byte, 1)
	if n, _ := c.Read(first); n == 0 {
		c.Close()
		return
	}
	c.first = first
	c.serve(c)
}

// takeFirst reads what came while the connection rested.
func (c *conn) takeFirst(p []byte) int {
	n := copy(p, c.first)
	c.first = c.first[n:]
	return n
}
