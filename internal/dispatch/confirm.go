package dispatch

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"awareid-gateway/internal/event"
)

const (
	confirmTimeout = 5 * time.Second
	confirmBackoff = 200 * time.Millisecond
	// confirmPatience is after how many failures in a row it is asked whether
	// the store is away at all, or a confirmation at fault.
	confirmPatience = 25
)

// confirmer tells the store which claims are delivered. What is forgotten,
// because the store is away for too long, is settled by the next attempt, which
// reads Kafka back.
type confirmer struct {
	backlog *backlog[event.Delivery]
	store   Store
	log     *slog.Logger
	metrics metrics
}

func newConfirmer(store Store, log *slog.Logger, m metrics) *confirmer {
	c := &confirmer{store: store, log: log, metrics: m}
	c.backlog = newBacklog(c.tell, m.dropped.Inc)
	return c
}

// add never blocks.
func (c *confirmer) add(d event.Delivery) { c.backlog.add(d) }

// tell tries until the store answers or ctx ends. Confirming twice does no harm.
func (c *confirmer) tell(ctx context.Context, batch []event.Delivery) {
	for failures := 0; ; failures++ {
		owned, err := c.confirm(ctx, batch)
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
		if failures >= confirmPatience && c.storeIsThere(ctx) {
			c.tellEach(ctx, batch)
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(confirmBackoff):
		}
	}
}

func (c *confirmer) storeIsThere(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	return c.store.Ping(ctx) == nil
}

// tellEach keeps one confirmation that the store will not take from holding up
// all others. What is left out is settled by the next attempt.
func (c *confirmer) tellEach(ctx context.Context, batch []event.Delivery) {
	for i := range batch {
		owned, err := c.confirm(ctx, batch[i:i+1])
		if err != nil {
			c.metrics.dropped.Inc()
			c.log.Warn("a confirmation is left out", "error", err)
			continue
		}
		c.count(owned)
	}
}

func (c *confirmer) confirm(ctx context.Context, batch []event.Delivery) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
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
	if left := c.backlog.close(ctx); left > 0 {
		return fmt.Errorf("%d confirmations have not reached the store and will be settled by reading Kafka back: %w", left, ctx.Err())
	}
	return nil
}
