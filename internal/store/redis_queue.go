package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// The queues of operations: a sorted set each, of ticket ids by the time at
// which their event was received. A queue that nobody stands in does not exist.

// Enqueue puts tickets into their queues, in one round trip, and answers for
// each, at the same index, the id of the ticket that stands first in its queue.
// One that stands there already keeps its place. Each queue is remembered for
// at least keep from now, so whoever waits calls again before that: a replica
// that is gone for good must not hold up the others for ever.
func (r *Redis) Enqueue(ctx context.Context, tickets []event.Ticket, keep time.Duration) ([]string, error) {
	answers := make([]*redis.StringSliceCmd, len(tickets))
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, t := range tickets {
			queue := r.queues + t.Queue
			p.ZAddNX(ctx, queue, redis.Z{Score: float64(t.At.UnixMicro()), Member: t.ID})
			p.PExpire(ctx, queue, keep)
			answers[i] = p.ZRange(ctx, queue, 0, 0)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("enqueue in Redis: %w", err)
	}
	heads := make([]string, len(tickets))
	for i, answer := range answers {
		if ids := answer.Val(); len(ids) > 0 {
			heads[i] = ids[0]
		}
	}
	return heads, nil
}

// Dequeue takes tickets out of their queues, in one round trip.
func (r *Redis) Dequeue(ctx context.Context, tickets []event.Ticket) error {
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, t := range tickets {
			p.ZRem(ctx, r.queues+t.Queue, t.ID)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("dequeue in Redis: %w", err)
	}
	return nil
}
