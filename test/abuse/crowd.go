package main

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"time"
)

// crowd is connections that are kept open together.
type crowd struct {
	size       int
	perAddress int           // connections from one address
	pause      time.Duration // before a connection that ended is made anew
}

// churnPause keeps those whom a cap refuses from doing nothing but that.
const churnPause = time.Second

// A ramp is how many connections a crowd opens at a time, and how often.
const (
	rampSize = 100
	rampStep = 25 * time.Millisecond
)

// run has each connection do the same, again and again, until the context ends;
// then all are closed, and that they have no answer then does not count. It is gone
// when run returns.
func (c *crowd) run(ctx context.Context, t target, r *report, each func(w *wire) (status int)) {
	var all sync.WaitGroup
	for i := range c.size {
		if i%rampSize == rampSize-1 && !wait(ctx, rampStep) {
			break
		}
		all.Go(func() {
			for ctx.Err() == nil {
				c.once(ctx, t, i/c.perAddress, r, each)
				wait(ctx, c.pause)
			}
		})
	}
	all.Wait()
}

func (c *crowd) once(ctx context.Context, t target, address int, r *report, each func(w *wire) int) {
	w, err := t.dial(ctx, address)
	switch {
	case ctx.Err() != nil:
		return
	case errors.Is(err, syscall.EMFILE):
		r.wrong("the limit of open files is too low for this attack")
		return
	case err != nil:
		r.answered(none)
		return
	}
	defer w.Close()
	// Beneath TLS, whose word of parting the gateway would answer.
	defer context.AfterFunc(ctx, func() { w.tcp.Close() })()
	if status := each(w); status != none || ctx.Err() == nil {
		r.answered(status)
	}
}

// trickle sends the pieces that next makes, one a step, until there is an answer.
func trickle(w *wire, step time.Duration, next func() []byte) (status int) {
	answered := make(chan answer, 1)
	go func() { answered <- w.answer() }()
	ticks := time.NewTicker(step)
	defer ticks.Stop()
	for {
		select {
		case a := <-answered:
			return a.status
		case <-ticks.C:
			w.Write(next()) // where it fails, the answer tells
		}
	}
}
