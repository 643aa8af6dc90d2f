package server

import (
	"net/netip"
	"runtime"
	"sync/atomic"

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
type gate struct {
	places chan struct{} // holds one for each stranger at work
	known  *lru.Cache[netip.Prefix, struct{}]
}

// knownSites bounds how many addresses are remembered for what came from them.
const knownSites = 1 << 12

func newGate() (*gate, error) {
	known, err := lru.New[netip.Prefix, struct{}](knownSites)
	return &gate{places: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), known: known}, err
}

// visit is a connection's way through the gate, with one place at most. Who reads may be
// another goroutine than who writes or closes.
type visit struct {
	gate   *gate
	from   netip.Prefix
	inside atomic.Bool
	gone   chan struct{} // closed when the connection is; nil where it never enters
}

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
	if v.inside.Load() {
		return true
	}
	select {
	case v.gate.places <- struct{}{}:
	case <-v.gone:
		return false
	}
	if !v.inside.CompareAndSwap(false, true) { // another goroutine has entered meanwhile
		<-v.gate.places
	}
	return true
}

// leave gives the place up, where there is one.
func (v *visit) leave() {
	if v.inside.CompareAndSwap(true, false) {
		<-v.gate.places
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
