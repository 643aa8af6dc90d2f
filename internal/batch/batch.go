// Package batch lets concurrent callers share a round trip or a disk sync.
//
// Batching is natural: a call that finds nothing under way starts at once, and
// the calls that arrive meanwhile form the next group. So nobody ever waits for
// company, there is no linger to tune, and groups grow with the load.
//
// One group runs at a time. A run that hangs therefore holds up every caller
// until it returns; it is for the run function to bound its own time.
package batch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Group collects items from concurrent callers and runs them together. Items
// run in the order in which they arrived. A Group keeps no goroutine while it
// has nothing to do, and needs no closing. It is safe for concurrent use.
type Group[T, R any] struct {
	max int
	run func(ctx context.Context, items []T) ([]R, error)
	// late gets what came of an item that nobody waits for any more; may be nil.
	late func(item T, result R)

	mu      sync.Mutex
	waiting []*call[T, R]
	running bool
}

type call[T, R any] struct {
	ctx    context.Context
	item   T
	over   atomic.Bool   // the caller has given up, or will get the result
	done   chan struct{} // closed once result and err are set
	result R
	err    error
}

// New returns a Group that gives run at most max items at a time; max is at
// least 1. The answer of run holds one result for each item, at the same index.
//
// The context that run gets is nobody's in particular and never ends, because
// no caller's cancellation may fail its neighbours.
func New[T, R any](max int, run func(ctx context.Context, items []T) ([]R, error)) *Group[T, R] {
	return &Group[T, R]{max: max, run: run}
}

// WhenLate lets a function know what came of each item that ran although its
// caller had stopped waiting. It must be called before the first Do, and the
// function must not block.
func (g *Group[T, R]) WhenLate(late func(item T, result R)) { g.late = late }

// Do runs item in a group and returns its result. An error of the run is told
// to every caller of the group, as it is.
//
// When ctx ends first, Do returns its error without waiting any longer. An item
// whose group has not started by then is left out; any other still runs, and
// what came of it only the function of WhenLate learns.
func (g *Group[T, R]) Do(ctx context.Context, item T) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}

	c := &call[T, R]{ctx: ctx, item: item, done: make(chan struct{})}
	g.enqueue(c)

	select {
	case <-c.done:
		return c.result, c.err
	case <-ctx.Done():
	}
	if c.over.CompareAndSwap(false, true) {
		return none, ctx.Err()
	}
	<-c.done // it came in the same moment
	return c.result, c.err
}

func (g *Group[T, R]) enqueue(c *call[T, R]) {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.waiting = append(g.waiting, c)
	if !g.running {
		g.running = true
		go g.drain()
	}
}

// drain runs groups until nobody waits. It has a goroutine of its own, since a
// caller that did this work would be kept past the end of its context.
func (g *Group[T, R]) drain() {
	for calls := g.next(); len(calls) > 0; calls = g.next() {
		g.serve(calls)
	}
}

// next takes the calls of the next group off the queue. When there are none, it
// marks the Group idle under the same lock, so that no call slips in between.
func (g *Group[T, R]) next() []*call[T, R] {
	g.mu.Lock()
	defer g.mu.Unlock()

	var calls []*call[T, R]
	taken := 0
	for _, c := range g.waiting {
		if len(calls) == g.max {
			break
		}
		taken++
		if c.ctx.Err() == nil {
			calls = append(calls, c)
		}
	}

	clear(g.waiting[:taken])
	g.waiting = g.waiting[taken:]
	g.running = len(calls) > 0
	return calls
}

func (g *Group[T, R]) serve(calls []*call[T, R]) {
	items := make([]T, len(calls))
	for i, c := range calls {
		items[i] = c.item
	}

	results, err := g.run(context.Background(), items)
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("batch of %d items got %d results", len(items), len(results))
	}

	for i, c := range calls {
		if err != nil {
			c.err = err
		} else {
			c.result = results[i]
		}
		waited := c.over.CompareAndSwap(false, true)
		close(c.done)
		if !waited && err == nil && g.late != nil {
			g.late(c.item, c.result)
		}
	}
}
