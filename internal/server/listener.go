package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// cappedListener bounds connections where they begin: past a cap the
// connection is closed before a byte of it is read. It ends without harm to
// those who are connected.
type cappedListener struct {
	net.Listener
	tls       *TLS // nil: plain
	addresses addresses
	gate      *gate // nil: nobody is a stranger
	total     int
	perSite   int
	writeTime time.Duration
	refused   func(p *problem, peer netip.Addr)
	failed    func(how string, peer netip.Addr) // a handshake
	proxySeen func()
	serve     func(net.Conn) error // what has rested

	mu       sync.Mutex
	open     map[*conn]struct{}
	count    atomic.Int64 // of them; read for every refusal, without the lock
	sites    map[netip.Prefix]int
	parting  bool
	patience time.Duration // of connections that part

	left chan struct{} // holds one where a connection has left
}

func newCappedListener(limits Limits, addresses addresses, gate *gate) *cappedListener {
	return &cappedListener{
		addresses: addresses, gate: gate, total: limits.MaxConnections, perSite: limits.MaxConnectionsPerAddress, writeTime: limits.ReadTimeout,
		open: map[*conn]struct{}{}, sites: map[netip.Prefix]int{}, left: make(chan struct{}, 1),
	}
}

// sendBuffer is how many bytes of answers, which have some hundred each, the system
// keeps for a peer that does not read them. By itself it keeps megabytes, and who asks
// without reading has all of them written.
const sendBuffer = 16 << 10

// Accept returns the next connection within the caps. While the listener parts
// it is io.EOF as soon as nobody waits to be accepted.
func (l *cappedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.next()
		if err != nil {
			return nil, err
		}
		admitted, refusal := l.admit(c)
		if refusal == nil {
			if tcp, ok := c.(*net.TCPConn); ok {
				_ = tcp.SetWriteBuffer(sendBuffer) // without it the system's own bound holds
			}
			return admitted, nil
		}
		l.refused(refusal, peerOf(c))
		c.Close()
	}
}

func (l *cappedListener) next() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if !l.parts() || !errors.Is(err, os.ErrDeadlineExceeded) {
		return c, err
	}
	if l.setDeadline(lastLook) {
		if c, err = l.Listener.Accept(); err == nil {
			return c, nil
		}
	}
	l.Close()
	return nil, io.EOF
}

// Close closes the listener; it may be called repeatedly.
func (l *cappedListener) Close() error {
	if err := l.Listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// proxyShare is the part of all connections, one in so many, that only trusted
// proxies may take: who comes past them cannot lock out those behind them.
const proxyShare = 10

func (l *cappedListener) admit(accepted net.Conn) (net.Conn, *problem) {
	peer := peerOf(accepted)
	if l.addresses.looksLikeProxy(peer) {
		l.proxySeen()
	}
	limited, room := l.perSite > 0 && l.addresses.limitable(peer), l.total
	if l.addresses.bypassesProxies(peer) {
		room -= l.total / proxyShare
	}
	from := site(peer)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case len(l.open) >= room:
		return nil, errConnections
	case limited && l.sites[from] >= l.perSite:
		return nil, errSite
	}
	below := newCarrier(accepted, l.gate, from, l.writeTime)
	c := &conn{
		Conn: l.tls.server(below), carrier: below, peer: peer, failed: l.failed,
		rest: rest{serve: l.serve}, parting: l.parting, patience: l.patience,
	}
	c.closed = func() { l.leave(c, from) }
	l.open[c] = struct{}{}
	l.count.Add(1)
	l.sites[from]++
	return c, nil
}

// crowded says whether three quarters of the places are taken.
func (l *cappedListener) crowded() bool { return 4*l.connections() > 3*l.total }

func (l *cappedListener) leave(c *conn, from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
	l.count.Add(-1)
	if l.sites[from]--; l.sites[from] == 0 {
		delete(l.sites, from)
	}
	select {
	case l.left <- struct{}{}:
	default:
	}
}

// connections is the number of open ones.
func (l *cappedListener) connections() int { return int(l.count.Load()) }

func peerOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap()
	}
	peer, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return peer.Addr()
}

// handshake is longer than the opening of a connection takes from a load
// balancer nearby. It is short, because who begins to connect meanwhile loses a
// second.
const handshake = 10 * time.Millisecond

// longestPatience is longer than a connection in use waits for a request.
const longestPatience = time.Second

// part turns away who is not connected yet, takes who is, and lets every
// connection end, in time for the context.
func (l *cappedListener) part(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.parting, l.patience = true, longestPatience
	if end, limited := ctx.Deadline(); limited {
		l.patience = min(longestPatience, time.Until(end)/2)
	}
	for c := range l.open {
		c.part(l.patience)
	}
	if tcp, ok := l.Listener.(syscall.Conn); ok {
		turnAwayNew(tcp) // where the system cannot, some may come too late
	}
	if !l.setDeadline(handshake) {
		l.Close()
	}
}

func (l *cappedListener) parts() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.parting
}

func (l *cappedListener) setDeadline(after time.Duration) bool {
	timed, ok := l.Listener.(interface{ SetDeadline(time.Time) error })
	return ok && timed.SetDeadline(time.Now().Add(after)) == nil
}

// empty waits until the last connection has left, or the context ends.
func (l *cappedListener) empty(ctx context.Context) {
	for l.connections() > 0 {
		select {
		case <-l.left:
		case <-ctx.Done():
			return
		}
	}
}
