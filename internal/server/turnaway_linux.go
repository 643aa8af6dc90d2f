package server

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// Of a TCP header (RFC 9293, section 3.1): where the flags are, and the one that
// opens a connection.
const (
	tcpFlags = 13
	tcpSYN   = 0x02
)

// turnAwayNew makes the system ignore who wants to connect to a listener, and
// leaves those in peace who are connected or about to be. Otherwise those who
// come between the last Accept and Close believe that they are connected, send
// their request, and are cut. Who is ignored tries again after a second (RFC
// 6298, section 2.1), and then learns that nobody listens or meets a successor.
func turnAwayNew(l syscall.Conn) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	ignoreSYN := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: tcpFlags},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: tcpSYN, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	program := unix.SockFprog{Len: uint16(len(ignoreSYN)), Filter: &ignoreSYN[0]} // #nosec G115 -- two instructions
	var attachErr error
	if err := raw.Control(func(fd uintptr) {
		attachErr = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program)
	}); err != nil {
		return err
	}
	return attachErr
}
