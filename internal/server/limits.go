package server

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// cappedListener bounds connections where they begin: past a cap the
// connection is closed before a byte of it is read.
type cappedListener struct {
	net.Listener
	addresses addresses
	total     int
	perSite   int
	refused   func(cause string)
	proxySeen func()

	mu    sync.Mutex
	open  int
	sites map[netip.Prefix]int
}

// Accept returns the next connection within the caps.
func (l *cappedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, cause := l.admit(conn)
		if cause == "" {
			return admitted, nil
		}
		l.refused(cause)
		conn.Close()
	}
}

func (l *cappedListener) admit(conn net.Conn) (net.Conn, string) {
	peer := peerOf(conn)
	if l.addresses.looksLikeProxy(peer) {
		l.proxySeen()
	}
	limited := l.perSite > 0 && l.addresses.limitable(peer)
	from := site(peer)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.open >= l.total:
		return nil, "connections"
	case limited && l.sites[from] >= l.perSite:
		return nil, "connections_per_address"
	}
	l.open++
	l.sites[from]++
	return &countedConn{Conn: conn, closed: func() { l.leave(from) }}, ""
}

func (l *cappedListener) leave(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.sites[from]--; l.sites[from] == 0 {
		delete(l.sites, from)
	}
}

// connections is the number of open ones.
func (l *cappedListener) connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func peerOf(conn net.Conn) netip.Addr {
	peer, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	return peer.Addr()
}

// countedConn counts while it is open.
type countedConn struct {
	net.Conn
	once      sync.Once
	closed    func()
	lingering atomic.Bool
}

// linger makes Close wait a little for the peer to end. Where a connection is
// closed with bytes unread, the peer's system may drop the answer that tells
// why.
func (c *countedConn) linger() { c.lingering.Store(true) }

// How much is read and dropped, and for how long, of what a peer still sends
// after it was turned away.
const (
	lingerBytes = 16 << 20
	lingerTime  = 2 * time.Second
)

// Close closes the connection; it may be called repeatedly.
func (c *countedConn) Close() error {
	c.once.Do(func() {
		if c.lingering.Load() {
			c.drain()
		}
		c.closed()
	})
	return c.Conn.Close()
}

func (c *countedConn) drain() {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	io.CopyN(io.Discard, c.Conn, lingerBytes)
}

// ratedSites bounds how many addresses are remembered for their rate. A
// forgotten one begins anew, with a full bucket.
const ratedSites = 1 << 16

// rates is a token bucket for each address; a second's worth may come at once.
type rates struct {
	perSecond int
	buckets   *lru.Cache[netip.Prefix, *rate.Limiter]
}

// newRates returns nil, which lets everything pass, for no limit.
func newRates(perSecond int) (*rates, error) {
	if perSecond <= 0 {
		return nil, nil
	}
	buckets, err := lru.New[netip.Prefix, *rate.Limiter](ratedSites)
	return &rates{perSecond: perSecond, buckets: buckets}, err
}

func (r *rates) allow(from netip.Prefix, now time.Time) bool {
	if r == nil {
		return true
	}
	bucket, ok := r.buckets.Get(from)
	if !ok {
		bucket = rate.NewLimiter(rate.Limit(r.perSecond), r.perSecond)
		if first, ok, _ := r.buckets.PeekOrAdd(from, bucket); ok {
			bucket = first
		}
	}
	return bucket.AllowN(now, 1)
}
