package server

import (
	"net/netip"
	"sync"
	"time"

	"github.com/gofiber/fiber/v2"

	"awareid-gateway/internal/decrypt"
)

// The platform uses a new secret before anybody here can know it. So while a
// rotation is under way a request whose signature fails is held until the new
// secret is there. Forged requests are held too, so the bounds are tight: in time,
// in number, in number for one address, and in bytes. Beyond them the answer is
// 503 for as long as the rotation lasts: it may be genuine, and a sender may take
// a 401 for final.
const (
	maxHold           = 3 * time.Second
	maxHeld           = 1024 // requests of one webhook
	maxHeldPerAddress = maxHeld / 2
	heldShare         = 4 // one in so many bytes of the body budget may be held, over all webhooks
)

// waiting is who is held, and what for.
type waiting struct {
	mu       sync.Mutex
	rotating bool
	held     int
	sites    map[netip.Prefix]int
	bytes    *budget       // of bodies, over all webhooks
	changed  chan struct{} // closed when there is something to look at

	most, mostPerSite int // how many may be held
}

func newWaiting(bytes *budget) waiting {
	return waiting{
		sites: map[netip.Prefix]int{}, bytes: bytes, changed: make(chan struct{}),
		most: maxHeld, mostPerSite: maxHeldPerAddress,
	}
}

// enter takes a place where there is a rotation and room for a body of size bytes.
// The zero site stands for all addresses that no limit per address holds for.
func (w *waiting) enter(site netip.Prefix, size int64) (held bool, why heldOutcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case !w.rotating:
		return false, notHeld
	case w.held >= w.most, site.IsValid() && w.sites[site] >= w.mostPerSite, !w.bytes.take(size, 0):
		return false, heldFull
	}
	w.held++
	w.sites[site]++
	return true, ""
}

func (w *waiting) leave(site netip.Prefix, size int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bytes.give(size)
	w.held--
	if w.sites[site]--; w.sites[site] == 0 {
		delete(w.sites, site)
	}
}

// wake has all who wait look again.
func (w *waiting) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *waiting) set(rotating bool) {
	w.mu.Lock()
	ends := w.rotating && !rotating
	w.rotating = rotating
	w.mu.Unlock()
	if ends {
		w.wake()
	}
}

func (w *waiting) look() (rotating bool, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rotating, w.changed
}

func (w *waiting) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}

// heldOutcome is a label of a metric.
type heldOutcome string

const (
	notHeld      heldOutcome = ""         // no rotation
	heldFull     heldOutcome = "full"     // refused at once, with 503: no room
	heldAccepted heldOutcome = "accepted" // authentic under the new secret
	heldRefused  heldOutcome = "refused"  // under none, in time; 503 or 401
)

// authenticate decides whether the request is authentic, and opens it. Its
// error is a *problem where it is not; then nothing more happens with the
// request. Another error says that an authentic body cannot be opened.
func (s *Server) authenticate(c *fiber.Ctx, h *hook, p *payload) (decrypt.Opened, error) {
	k := h.keys.Load()
	opened, err := s.judgeBody(c, h, k, p)
	if err != error(errSignature) {
		return opened, err
	}
	site, size := s.limitedSite(c), p.taken
	held, why := h.waiting.enter(site, size)
	if !held {
		if next := h.keys.Load(); next != k { // they came just now
			if opened, err = s.judgeBody(c, h, next, p); err != error(errSignature) {
				return opened, err
			}
		}
		if s.metrics.wasHeld(h.ID, why); why == heldFull {
			err = errRotating
		}
		return opened, err
	}
	defer h.waiting.leave(site, size)
	// Who waits does no work, and could wait for all places but for the bounds here.
	leaveGate(c.Context().Conn())
	s.atWork.give(1)
	defer s.atWork.retake(1)
	opened, err = s.hold(c, h, k, p)
	if err == error(errSignature) || err == error(errRotating) {
		s.metrics.wasHeld(h.ID, heldRefused)
	} else {
		s.metrics.wasHeld(h.ID, heldAccepted)
	}
	return opened, err
}

// hold judges a request, which failed with these keys, again with each that come,
// until it is authentic, the rotation ends or its time is over.
func (s *Server) hold(c *fiber.Ctx, h *hook, failed *keys, p *payload) (decrypt.Opened, error) {
	// A quarter of the time is left for what comes after.
	timer := time.NewTimer(min(maxHold, s.opts.Limits.RequestTimeout*3/4))
	defer timer.Stop()
	for {
		// Ahead of the keys: where the rotation has ended, these are the last of it.
		rotating, changed := h.waiting.look()
		if k := h.keys.Load(); k != failed {
			failed = k
			if opened, err := s.judgeBody(c, h, k, p); err != error(errSignature) {
				return opened, err
			}
		}
		if !rotating {
			return decrypt.Opened{}, errSignature
		}
		select {
		case <-changed:
		case <-timer.C:
			return decrypt.Opened{}, errRotating
		}
	}
}

// countHeld is the number of all requests that are held.
func (s *Server) countHeld() (n int) {
	for _, h := range s.hooks {
		n += h.waiting.count()
	}
	return n
}

// limitedSite is where the request comes from, the zero prefix where no limit per
// address holds for that.
func (s *Server) limitedSite(c *fiber.Ctx) netip.Prefix {
	client := s.client(c.Context())
	if !s.addresses.limitable(client) {
		return netip.Prefix{}
	}
	return site(client)
}
