//go:build unix

package server

import (
	"io"
	"net"
	"os"
	"syscall"
)

// transfer moves a stranger's bytes. net.Conn reads as soon as it can, and what it
// reads takes time, too; here the system is only asked by who is inside the gate.
type transfer struct {
	raw         syscall.RawConn // nil: the connection moves its bytes itself
	read, write func(fd uintptr) (done bool)
	p           []byte // of the call under way
	n           int
	err         error
}

func (c *carrier) inTurns() bool { return c.raw != nil }

// prepare has bytes moved in turns, where the connection is the system's.
func (c *carrier) prepare() {
	system, ok := c.Conn.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return
	}
	c.raw = raw
	c.read = func(fd uintptr) bool { return c.once(fd, syscall.Read) }
	c.write = func(fd uintptr) bool { return c.once(fd, syscall.Write) }
}

// once makes a system call inside the gate. It is not done where it would block, and
// waits outside then.
func (c *carrier) once(fd uintptr, call func(int, []byte) (int, error)) (done bool) {
	c.enter()
	for {
		switch c.n, c.err = call(int(fd), c.p); c.err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			c.leave()
			return false
		}
		return true
	}
}

func (c *carrier) readInTurn(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.move("read", p, c.raw.Read, c.transfer.read)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

func (c *carrier) writeInTurn(p []byte) (written int, err error) {
	for written < len(p) && err == nil {
		var n int
		n, err = c.move("write", p[written:], c.raw.Write, c.transfer.write)
		written += n
	}
	return written, err
}

// move is one call of the system, whose errors it returns as package net does.
func (c *carrier) move(what string, p []byte, when func(func(uintptr) bool) error, once func(uintptr) bool) (int, error) {
	c.p = p
	err := when(once)
	c.p = nil
	if err != nil {
		return 0, err
	}
	if c.err != nil {
		err = &net.OpError{Op: what, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(what, c.err)}
	}
	return max(0, c.n), err
}
