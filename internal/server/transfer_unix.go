//go:build unix

package server

import (
	"net"
	"os"
	"syscall"
)

// transfer moves a stranger's bytes in one direction. net.Conn reads as soon as it can,
// and what it reads takes time, too; here the system is only asked by who is inside the
// gate.
type transfer struct {
	conn net.Conn
	what string
	when func(once func(fd uintptr) (done bool)) error // repeats it when the system is ready again
	once func(fd uintptr) (done bool)
	p    []byte // of the call under way
	n    int
	err  error
}

// transfers are nil where the connection is not the system's.
func transfers(c net.Conn, v *visit) (in, out *transfer) {
	system, ok := c.(syscall.Conn)
	if !ok {
		return nil, nil
	}
	raw, err := system.SyscallConn()
	if err != nil {
		return nil, nil
	}
	in = &transfer{conn: c, what: "read", when: raw.Read}
	in.once = func(fd uintptr) bool { return in.attempt(int(fd), v, syscall.Read) }
	out = &transfer{conn: c, what: "write", when: raw.Write}
	out.once = func(fd uintptr) bool { return out.attempt(int(fd), v, syscall.Write) }
	return in, out
}

// attempt makes the system call inside the gate. Where the system has to wait, that is
// done outside.
func (t *transfer) attempt(fd int, v *visit, call func(int, []byte) (int, error)) (done bool) {
	if !v.enter() {
		t.n, t.err = 0, net.ErrClosed
		return true
	}
	for {
		switch t.n, t.err = call(fd, t.p); t.err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			v.leave()
			return false
		}
		return true
	}
}

// move moves some of the bytes, and returns the errors of package net.
func (t *transfer) move(p []byte) (int, error) {
	t.p = p
	err := t.when(t.once)
	t.p = nil
	if err != nil {
		return 0, err
	}
	if t.err != nil {
		err = &net.OpError{Op: t.what, Net: "tcp", Source: t.conn.LocalAddr(), Addr: t.conn.RemoteAddr(), Err: os.NewSyscallError(t.what, t.err)}
	}
	return max(0, t.n), err
}
