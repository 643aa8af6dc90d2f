package server

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

var (
	Site        = site
	TurnAwayNew = turnAwayNew
)

// WellFramed is what readFraming says of a header section.
func WellFramed(raw []byte) bool {
	_, ok := readFraming(raw)
	return ok
}

// Client is whom a gateway with these trusted proxies takes for the sender.
func Client(trusted []netip.Prefix, peer netip.Addr, forwardedFor string) netip.Addr {
	return addresses{trusted: trusted}.client(peer, forwardedFor)
}

// ReadBody reads with a budget of its own, and reports what is left taken.
func ReadBody(r io.Reader, announced, limit int, budgetBytes int64) (body []byte, taken int64, err error) {
	return ReadBodyInto(nil, r, announced, limit, budgetBytes)
}

// ReadBodyInto is ReadBody with memory that a refused body has had.
func ReadBodyInto(memory []byte, r io.Reader, announced, limit int, budgetBytes int64) (body []byte, taken int64, err error) {
	b := &budget{limit: budgetBytes}
	body, err = readBody(r, memory, announced, limit, b)
	return body, b.used.Load(), err
}

// AuditTrail is an audit of its own.
type AuditTrail struct{ audit *audit }

func NewAuditTrail(opts Audit, log *slog.Logger) AuditTrail { return AuditTrail{newAudit(opts, log)} }

// Refuse notes a refusal for a cause, because of an error, which may be nil.
func (a AuditTrail) Refuse(cause string, client netip.Addr, because error) {
	if p := (&problem{status: 401, cause: cause, because: because}); a.audit.admits(p) {
		a.audit.write(p, "hook", client)
	}
}

func (a AuditTrail) Flush() { a.audit.flush() }

// HoldAtMost changes how many requests of one webhook, and of one address, may be
// held, before the server is in use.
func (s *Server) HoldAtMost(most, perAddress int) {
	for _, h := range s.hooks {
		h.waiting.most, h.waiting.mostPerSite = most, perAddress
	}
}

// Carrier is what a connection's bytes go over.
func Carrier(c net.Conn, writeTime time.Duration) net.Conn {
	gate, err := newGate()
	if err != nil {
		panic(err) // of a size that is no size
	}
	return newCarrier(c, gate, netip.Prefix{}, writeTime)
}

// Resting is how many connections wait without buffers.
func (s *Server) Resting() (n int) {
	s.listener.mu.Lock()
	defer s.listener.mu.Unlock()
	for c := range s.listener.open {
		c.mu.Lock()
		if c.state == resting {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// FillGate takes all places that strangers have at work, and returns how to give them
// up again.
func (s *Server) FillGate() (empty func()) {
	gate := s.listener.gate
	all := make([]visit, cap(gate.places))
	for i := range all {
		all[i].gate = gate
		all[i].enter()
	}
	return func() {
		for i := range all {
			all[i].leave()
		}
	}
}

// AtGate is how many strangers are at work.
func (s *Server) AtGate() int { return cap(s.listener.gate.places) - len(s.listener.gate.places) }

// KnownAtWork is how many connections of the known have a request under way.
func (s *Server) KnownAtWork() int { return int(s.listener.gate.working.Load()) }

// Visits are a known one's and a stranger's to the same gate.
func Visits() (known, stranger *Visit) {
	gate, err := newGate()
	if err != nil {
		panic(err) // of a size that is no size
	}
	return &Visit{visit{gate: gate}}, &Visit{visit{gate: gate}}
}

// Visit is a connection's way through the gate.
type Visit struct{ visit }

// Begin has a known one's request under way.
func (v *Visit) Begin() { v.begin() }

// Enter returns when the stranger has a place.
func (v *Visit) Enter() { v.enter() }

// Leave ends either.
func (v *Visit) Leave() { v.leave() }

// How long strangers step aside, and work in between.
const (
	StepAside = stepAside
	StepBack  = stepBack
)

// Knows says whether an event has been taken from an address.
func (s *Server) Knows(addr net.Addr) bool {
	return s.listener.gate.knows(site(addr.(*net.TCPAddr).AddrPort().Addr()))
}
