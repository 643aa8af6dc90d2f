package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"awareid-gateway/internal/event"
)

const (
	confirmBatch   = 512
	confirmTimeout = 5 * time.Second
	confirmBackoff = 200 * time.Millisecond
	// confirmLimit bounds what is remembered while the store is away. What is
	// forgotten is settled by the next attempt, which reads Kafka back.
	confirmLimit = 1 << 16
	// confirmPatience is after how many failures in a row it is asked whether
	// the store is away at all, or a confirmation at fault.
	confirmPatience = 25
)

// confirmer tells the store which claims are delivered, in batches, behind the
// back of those who wait for an answer. A goroutine runs while there is
// something to tell.
type confirmer struct {
	store   Store
	log     *slog.Logger
	metrics metrics

	mu      sync.Mutex
	queue   []event.Delivery
	telling int // deliveries that were taken from the queue to be told
	running bool
	idle    chan struct{} // closed when nothing is left to tell

	ctx  context.Context // ends when close gives up
	stop context.CancelFunc
}

func newConfirmer(store Store, log *slog.Logger, m metrics) *confirmer {
	idle := make(chan struct{})
	close(idle)
	ctx, stop := context.WithCancel(context.Background())
	return &confirmer{store: store, log: log, metrics: m, idle: idle, ctx: ctx, stop: stop}
}

// add never blocks.
func (c *confirmer) add(d event.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) < confirmLimit {
		c.queue = append(c.queue, d)
	} else {
		c.metrics.dropped.Inc()
	}
	if !c.running {
		c.running = true
		c.idle = make(chan struct{})
		go c.run()
	}
}

func (c *confirmer) run() {
	for batch := c.take(); batch != nil; batch = c.take() {
		c.tell(batch)
	}
}

// take returns nil when the goroutine that calls it is to end.
func (c *confirmer) take() []event.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.queue), confirmBatch)
	c.telling = n
	if n == 0 {
		c.queue, c.running = nil, false
		close(c.idle)
		return nil
	}
	batch := c.queue[:n:n]
	c.queue = c.queue[n:]
	return batch
}

// tell tries until the store answers or close gives up. Confirming twice does no harm.
func (c *confirmer) tell(batch []event.Delivery) {
	for failures := 0; ; failures++ {
		owned, err := c.confirm(batch)
		if err == nil {
			c.count(owned)
			if failures > 0 {
				c.log.Info("confirmations reach the store again")
			}
			return
		}
		if failures == 0 {
			c.log.Warn("confirmations wait for the store", "error", err)
		}
		if failures >= confirmPatience && c.storeIsThere() {
			c.tellEach(batch)
			return
		}
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(confirmBackoff):
		}
	}
}

func (c *confirmer) storeIsThere() bool {
	ctx, cancel := context.WithTimeout(c.ctx, confirmTimeout)
	defer cancel()
	return c.store.Ping(ctx) == nil
}

// tellEach keeps one confirmation that the store will not take from holding up
// all others. What is left out is settled by the next attempt.
func (c *confirmer) tellEach(batch []event.Delivery) {
	for i := range batch {
		owned, err := c.confirm(batch[i : i+1])
		if err != nil {
			c.metrics.dropped.Inc()
			c.log.Warn("a confirmation is left out", "error", err)
			continue
		}
		c.count(owned)
	}
}

func (c *confirmer) confirm(batch []event.Delivery) ([]bool, error) {
	ctx, cancel := context.WithTimeout(c.ctx, confirmTimeout)
	defer cancel()
	return c.store.Confirm(ctx, batch)
}

func (c *confirmer) count(owned []bool) {
	for _, ok := range owned {
		if ok {
			c.metrics.confirmed.Inc()
		} else {
			c.metrics.lost.Inc()
		}
	}
}

// close waits until the store knows everything, or until the context ends.
// Then nothing is told any more, and the error says of how many.
func (c *confirmer) close(ctx context.Context) error {
	defer c.stop()
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
	if left := c.left(); left > 0 {
		return fmt.Errorf("%d confirmations have not reached the store and will be settled by reading Kafka back: %w", left, ctx.Err())
	}
	return nil
}

// left counts what the store does not know yet.
func (c *confirmer) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue) + c.telling
}
