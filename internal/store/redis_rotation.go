package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// What replicas know of the rotation of a webhook's secret: a mark while one is
// under way, which ends by itself where nobody keeps it up, and what it told, which
// is sealed and no concern of this package. Both keys of a webhook are in one slot
// of a cluster, so that one command reads them: who sees that a mark is gone sees
// what was told before.

// RotationState is how far the rotation of a webhook's secret is.
type RotationState struct {
	Marked bool   // a rotation is under way
	Told   []byte // what was told last; nil: nothing, or too long ago
}

// markRotationScript answers 1 if the mark is the asker's.
var markRotationScript = redis.NewScript(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)

// unmarkRotationScript answers 1 if the mark was the asker's.
var unmarkRotationScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
`)

func (r *Redis) rotationMark(webhook string) string { return r.rotations + "{" + webhook + "}:mark" }
func (r *Redis) rotationTold(webhook string) string { return r.rotations + "{" + webhook + "}:told" }

// MarkRotation marks a webhook as rotating for at least ttl from now, or keeps the
// mark up. It reports whether the mark is who's; there is one at a time.
func (r *Redis) MarkRotation(ctx context.Context, webhook, who string, ttl time.Duration) (bool, error) {
	ok, err := r.ask(ctx, markRotationScript, r.rotationMark(webhook), who, ttl.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("mark rotation in Redis: %w", err)
	}
	return ok, nil
}

// UnmarkRotation takes the mark away if it is who's.
func (r *Redis) UnmarkRotation(ctx context.Context, webhook, who string) error {
	if _, err := r.ask(ctx, unmarkRotationScript, r.rotationMark(webhook), who); err != nil {
		return fmt.Errorf("unmark rotation in Redis: %w", err)
	}
	return nil
}

// TellRotation replaces what was told of a webhook; it is kept for that long.
func (r *Redis) TellRotation(ctx context.Context, webhook string, told []byte, keep time.Duration) error {
	if err := r.client.Set(ctx, r.rotationTold(webhook), told, keep).Err(); err != nil {
		return fmt.Errorf("tell rotation in Redis: %w", err)
	}
	return nil
}

// Rotations answers for each webhook, at the same index, in one round trip.
func (r *Redis) Rotations(ctx context.Context, webhooks []string) ([]RotationState, error) {
	cmds := make([]*redis.SliceCmd, len(webhooks))
	_, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, id := range webhooks {
			cmds[i] = p.MGet(ctx, r.rotationMark(id), r.rotationTold(id))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read rotations in Redis: %w", err)
	}
	states := make([]RotationState, len(webhooks))
	for i, cmd := range cmds {
		values := cmd.Val()
		states[i].Marked = values[0] != nil
		if told, ok := values[1].(string); ok {
			states[i].Told = []byte(told)
		}
	}
	return states, nil
}
