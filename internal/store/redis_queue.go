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

// First reports for each ticket, at the same index, whether no other stands
// ahead of it, in one round trip.
func (r *Redis) First(ctx context.Context, tickets []event.Ticket) ([]bool, error) {
	heads := make([]*redis.StringSliceCmd, len(tickets))
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, t := range tickets {
			heads[i] = p.ZRange(ctx, r.queues+t.Queue, 0, 0)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look at queues in Redis: %w", err)
	}
	first := make([]bool, len(tickets))
	for i, head := range heads {
		first[i] = len(head.Val()) == 0 || head.Val()[0] == tickets[i].ID
	}
	return first, nil
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
