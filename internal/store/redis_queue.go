package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// The queues of operations: a sorted set each, of ticket ids by the time at
// which their event was received. A queue that nobody stands in does not exist.

// enqueueScript answers the time of the ticket, in microseconds, and the id of
// the one that stands first. A time that is still to come is only a bad estimate:
// what is answered for after this must not get an earlier one.
var enqueueScript = redis.NewScript(`
local key, id, at, within, kept = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
if at > now or within > 0 and now <= at + within then at = now end
redis.call('ZADD', key, 'NX', string.format('%d', at), id)
redis.call('PEXPIRE', key, kept)
return {string.format('%d', redis.call('ZSCORE', key, id)), redis.call('ZRANGE', key, 0, 0)[1]}
`)

// Enqueue puts tickets into their queues, in one round trip, and answers for
// each, at the same index, where it stands. One that stands there already keeps
// its place. Each queue is remembered for
// at least keep from now, so whoever waits calls again before that: a replica
// that is gone for good must not hold up the others for ever.
func (r *Redis) Enqueue(ctx context.Context, tickets []event.Ticket, keep time.Duration) ([]event.Standing, error) {
	runs := make([]*run, len(tickets))
	for i, t := range tickets {
		runs[i] = &run{keys: []string{r.queues + t.Queue}, args: []any{t.ID, t.At.UnixMicro(), t.Within.Microseconds(), keep.Milliseconds()}}
	}
	standings := make([]event.Standing, len(tickets))
	for i, cmd := range r.runAll(ctx, enqueueScript, runs) {
		answer, err := cmd.StringSlice()
		if err != nil {
			return nil, fmt.Errorf("enqueue in Redis: %w", err)
		}
		n, err := numbers(answer[:1])
		if err != nil {
			return nil, errors.New("enqueue in Redis: the answer cannot be read")
		}
		standings[i] = event.Standing{At: time.UnixMicro(n[0]), First: answer[1]}
	}
	return standings, nil
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
