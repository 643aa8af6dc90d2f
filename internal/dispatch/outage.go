package dispatch

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// probeEvery is how often a store that is away is asked whether it is back.
	probeEvery   = 250 * time.Millisecond
	probeTimeout = 500 * time.Millisecond
)

// outage knows whether the store is away, so that nobody waits for it in vain.
type outage struct {
	ping func(ctx context.Context) error
	back func(ctx context.Context) error // work to do before the store counts as back
	log  *slog.Logger

	mu   sync.Mutex
	up   chan struct{} // closed while the store is up
	down bool

	ctx    context.Context
	stop   context.CancelFunc
	prober sync.WaitGroup
}

func newOutage(ping func(context.Context) error, log *slog.Logger) *outage {
	ctx, stop := context.WithCancel(context.Background())
	up := make(chan struct{})
	close(up)
	return &outage{ping: ping, back: func(context.Context) error { return nil }, log: log, up: up, ctx: ctx, stop: stop}
}

func (o *outage) storeIsDown() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.down
}

// storeFailed is told of every error of the store.
func (o *outage) storeFailed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.down || o.ctx.Err() != nil {
		return
	}
	o.log.Warn("the store does not answer", "error", err)
	o.down = true
	o.up = make(chan struct{})
	o.prober.Go(o.probe)
}

// probe asks until the store is back and everything is told to it.
func (o *outage) probe() {
	for pause(o.ctx, probeEvery) {
		if !o.returned() {
			continue
		}
		o.mu.Lock()
		o.down = false
		close(o.up)
		o.mu.Unlock()
		o.log.Info("the store is back")
		return
	}
}

// returned says that the store is there, and has been told what it missed.
func (o *outage) returned() bool {
	ctx, cancel := context.WithTimeout(o.ctx, probeTimeout)
	defer cancel()
	if o.ping(ctx) != nil {
		return false
	}
	telling, cancel := context.WithTimeout(o.ctx, releaseTimeout)
	defer cancel()
	return o.back(telling) == nil
}

// awaitStore returns when the store is up.
func (o *outage) awaitStore(ctx context.Context) error {
	o.mu.Lock()
	up := o.up
	o.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o *outage) close() {
	o.stop()
	o.prober.Wait()
}
