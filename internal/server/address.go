package server

import (
	"net/netip"
	"strings"
)

// addresses decides who a request comes from and whether it may.
type addresses struct {
	allowed []netip.Prefix // empty: all
	trusted []netip.Prefix // proxies whose X-Forwarded-For counts
}

// client returns the address that a request comes from. The forwarding header
// counts only behind a trusted peer and is read from the right: each hop
// appends whom it saw, so the first address that is no trusted proxy is the
// last one that somebody trustworthy saw.
func (a addresses) client(peer netip.Addr, forwardedFor string) netip.Addr {
	client := plain(peer)
	for contains(a.trusted, client) && forwardedFor != "" {
		rest, last, found := cutLast(forwardedFor, ",")
		hop, ok := parseHop(strings.TrimSpace(last))
		if !ok {
			break
		}
		client = plain(hop)
		if forwardedFor = rest; !found {
			break
		}
	}
	return client
}

// parseHop reads an address, which some proxies write with a port.
func parseHop(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return addr, true
	}
	withPort, err := netip.ParseAddrPort(s)
	return withPort.Addr(), err == nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}

func (a addresses) mayPost(client netip.Addr) bool {
	return len(a.allowed) == 0 || contains(a.allowed, client)
}

// limitable says whether a limit per address may hold a peer back. A trusted
// proxy speaks for many; so, by all appearances, does an address that is not
// of the internet where no proxy is configured.
func (a addresses) limitable(peer netip.Addr) bool {
	return !contains(a.trusted, plain(peer)) && !a.looksLikeProxy(peer)
}

// bypassesProxies says whether there are trusted proxies, and the peer is none.
func (a addresses) bypassesProxies(peer netip.Addr) bool {
	return len(a.trusted) > 0 && !contains(a.trusted, plain(peer))
}

func (a addresses) looksLikeProxy(peer netip.Addr) bool {
	peer = peer.Unmap()
	local := peer.IsPrivate() || peer.IsLoopback() || peer.IsLinkLocalUnicast() || sharedSpace.Contains(peer)
	return len(a.trusted) == 0 && local
}

// sharedSpace is what carriers and clouds use between themselves and their
// customers (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// site is what limits are counted by: an IPv4 address, or the /64 that one
// subscriber has in IPv6.
func site(addr netip.Addr) netip.Prefix {
	addr = plain(addr)
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// plain is the form of an address that prefixes are compared with: they match
// neither IPv4 that is written as IPv6 nor an address with a zone.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }
