package server

import (
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// gate lets strangers work on at most half of the processors at a time. A stranger is
// a connection over which no event has been taken yet, and from whose address none had
// been when it began. Go runs whoever is ready in turn and knows no priorities: a
// callback takes half a dozen turns, and beside hundreds of strangers who always have
// something to read it would wait for all of them each time.
//
// A stranger's turn lasts from what it reads to its next read, or the refusal of one of
// many requests that came together. Who waits for its peer holds no place. Places are
// taken in the order in which they were asked for.
//
// While requests of the known are under way, strangers step aside, but never for so long
// that less than a third of the time is left to them.
type gate struct {
	places  chan *place // those that are free
	known   *lru.Cache[netip.Prefix, struct{}]
	working atomic.Int32  // connections of the known with a request under way
	idle    chan struct{} // is filled whenever there are none
}

// place is where a stranger works.
type place struct {
	patience *time.Timer // of who has it, and has yet to begin
	stepped  time.Time   // when the known were last waited for in vain
}

// Strangers step aside for so long at a time, and then work for so long at least.
const (
	stepAside = 2 * time.Millisecond
	stepBack  = time.Millisecond
)

// knownSites bounds how many addresses are remembered for what came from them.
const knownSites = 1 << 12

func newGate() (*gate, error) {
	known, err := lru.New[netip.Prefix, struct{}](knownSites)
	half := max(1, runtime.GOMAXPROCS(0)/2)
	g := &gate{places: make(chan *place, half), known: known, idle: make(chan struct{}, half)}
	for range half {
		p := &place{patience: time.NewTimer(stepAside)}
		p.patience.Stop()
		g.places <- p
	}
	return g, err
}

// visit is a connection's way through the gate, with one place at most. Who reads may be
// another goroutine than who writes or closes.
type visit struct {
	gate *gate
	from netip.Prefix
	work atomic.Pointer[place] // where it works; nil: it does not
	gone chan struct{}         // closed when the connection is; nil where it never enters
}

// nowhere is where the known work, who need no place.
var nowhere = new(place)

// introduce makes an address known.
func (g *gate) introduce(from netip.Prefix) { g.known.Add(from, struct{}{}) }

// knows says whether an address was introduced; a nil gate knows all.
func (g *gate) knows(from netip.Prefix) bool {
	if g == nil {
		return true
	}
	_, known := g.known.Get(from)
	return known
}

// enter waits for a place, unless the stranger has one. It is false where the connection
// is closed meanwhile: who closes may hold what those inside wait for.
func (v *visit) enter() bool {
	if v.work.Load() != nil {
		return true
	}
	var p *place
	select {
	case p = <-v.gate.places:
	case <-v.gone:
		return false
	}
	v.gate.stepAside(p, v.gone)
	if !v.work.CompareAndSwap(nil, p) { // another goroutine has entered meanwhile
		v.gate.places <- p
	}
	return true
}

// stepAside waits until the known have no request under way, its time is over, or the
// connection is gone.
func (g *gate) stepAside(p *place, gone <-chan struct{}) {
	if g.working.Load() <= 0 || time.Since(p.stepped) < stepBack {
		return
	}
	p.patience.Reset(stepAside)
	defer p.patience.Stop()
	for g.working.Load() > 0 { // idle may tell of an earlier time
		select {
		case <-g.idle:
		case <-p.patience.C:
			p.stepped = time.Now()
			return
		case <-gone:
			return
		}
	}
}

// begin is told that a known one has a request under way, until it leaves.
func (v *visit) begin() {
	if v.gate != nil && v.work.CompareAndSwap(nil, nowhere) {
		v.gate.working.Add(1)
	}
}

// leave gives the place up, where there is one.
func (v *visit) leave() {
	switch p := v.work.Swap(nil); p {
	case nil:
	case nowhere:
		v.gate.finish()
	default:
		v.gate.places <- p
	}
}

// finish wakes those who stepped aside for the last of the known.
func (g *gate) finish() {
	if g.working.Add(-1) > 0 {
		return
	}
	for {
		select {
		case g.idle <- struct{}{}:
		default:
			return
		}
	}
}

// pass gives the place up to who waits for one, and takes another.
func (v *visit) pass() {
	v.leave()
	v.enter()
}

// end has nobody wait any more. It is called once.
func (v *visit) end() {
	if v.gone != nil {
		close(v.gone)
	}
}

// ended says whether end was called.
func (v *visit) ended() bool {
	select {
	case <-v.gone:
		return true
	default:
		return false
	}
}
