package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// fault is a kind of harm.
type fault struct {
	name string
	draw drawing // nil: it cannot be done here
}

type drawing func(d draw) harm

// harm is done to the targets, which are nobody else's meanwhile, and undone
// when do returns.
type harm struct {
	targets []string
	do      func() error
}

// draw decides about one occurrence.
type draw struct {
	*rand.Rand
	longest time.Duration
}

// length is how long the harm lasts: at least a tenth of the longest.
func (d draw) length() time.Duration {
	return d.longest/10 + time.Duration(d.Int64N(int64(d.longest-d.longest/10)))
}

// gateways are one, or all.
func (d draw) gateways() []int {
	if i := d.IntN(2 * gatewayCount); i < gatewayCount {
		return []int{i}
	}
	return []int{0, 1}
}

// plan is what befalls the cluster.
type plan struct {
	kinds []fault
	rng   *rand.Rand
	say   func(format string, args ...any)

	mu    sync.Mutex
	count map[string]int
	busy  map[string]bool
	errs  []error
}

func newPlan(kinds []fault, only *regexp.Regexp, rng *rand.Rand, say func(string, ...any)) *plan {
	p := &plan{rng: rng, say: say, count: map[string]int{}, busy: map[string]bool{}}
	for _, kind := range kinds {
		p.count[kind.name] = 0
		switch {
		case only != nil && !only.MatchString(kind.name):
		case kind.draw == nil:
			say("%s: not possible here", kind.name)
		default:
			p.kinds = append(p.kinds, kind)
		}
	}
	return p
}

const maxFaults = 5 // of a round

// run lets some faults begin within the given time, several at once, and
// returns when all are undone.
func (p *plan) run(within, longest time.Duration) {
	if len(p.kinds) == 0 {
		return
	}
	var all sync.WaitGroup
	for range 1 + p.rng.IntN(maxFaults) {
		kind := p.kinds[p.rng.IntN(len(p.kinds))]
		start := time.Duration(p.rng.Int64N(int64(within)))
		h := kind.draw(draw{rand.New(rand.NewPCG(p.rng.Uint64(), 0)), longest})
		all.Go(func() {
			time.Sleep(start)
			p.harm(kind.name, h)
		})
	}
	all.Wait()
}

func (p *plan) harm(name string, h harm) {
	if !p.take(name, h.targets) {
		return
	}
	defer p.give(h.targets)
	began := time.Now()
	err := h.do()
	p.say("    %s: %s, %.1f s", name, strings.Join(h.targets, ", "), time.Since(began).Seconds())
	if err != nil {
		p.fail(fmt.Errorf("%s: %w", name, err))
	}
}

// take is false where one of the targets has its troubles already.
func (p *plan) take(name string, targets []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.ContainsFunc(targets, func(t string) bool { return p.busy[t] }) {
		return false
	}
	for _, t := range targets {
		p.busy[t] = true
	}
	p.count[name]++
	return true
}

func (p *plan) give(targets []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range targets {
		delete(p.busy, t)
	}
}

func (p *plan) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = append(p.errs, err)
}
