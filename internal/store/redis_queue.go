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

// Enqueue puts tickets into their queues, in one round trip. One that stands
// there already keeps its place. Each queue is remembered for at least keep
// from now, so whoever waits calls again before that: a replica that is gone
// for good must not hold up the others for ever.
func (r *Redis) Enqueue(ctx context.Context, tickets []event.Ticket, keep time.Duration) error {
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, t := range tickets {
			p.ZAddNX(ctx, r.queues+t.Queue, redis.Z{Score: float64(t.At.UnixMicro()), Member: t.ID})
			p.PExpire(ctx, r.queues+t.Queue, keep)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("enqueue in Redis: %w", err)
	}
	return nil
}

// Heads returns for each queue, at the same index, the id of the ticket that
// stands first, "" for none, in one round trip.
func (r *Redis) Heads(ctx context.Context, queues []string) ([]string, error) {
	answers := make([]*redis.StringSliceCmd, len(queues))
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, queue := range queues {
			answers[i] = p.ZRange(ctx, r.queues+queue, 0, 0)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at queues in Redis: %w", err)
	}
	heads := make([]string, len(queues))
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
