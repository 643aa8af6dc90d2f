package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// Redis can lose its memory: restarted empty, flushed, or failed over to a copy
// that lacked the last second. A mark in it names its present memory. The mark
// is made anew where it is missing, or where a server process answers that has
// not answered before: whatever that one was told when it was another one's
// replica, or before it restarted, may be incomplete.

// markScript enters the processes that were met and answers the mark: id, time
// at which the memory began, time from which on it was restored, time now, in
// milliseconds. Every process but the first that a mark meets begins a new
// memory.
var markScript = redis.NewScript(prelude + `
local lost = redis.call('HEXISTS', key, 'id') == 0
for i = 2, #ARGV do
  if redis.call('HSETNX', key, 'process:' .. ARGV[i], now()) == 1 then lost = true end
end
if lost then
  redis.call('HSET', key, 'id', ARGV[1], 'since', now())
  redis.call('HDEL', key, 'restored')
end
local mark = redis.call('HMGET', key, 'id', 'since', 'restored')
return {mark[1], mark[2], mark[3] or '', string.format('%d', now())}
`)

// restoredScript answers 1 if the memory is still the one that was restored.
var restoredScript = redis.NewScript(prelude + `
if redis.call('HGET', key, 'id') ~= ARGV[1] then return 0 end
redis.call('HSET', key, 'restored', string.format('%d', redis.call('HGET', key, 'since') - ARGV[2]))
return 1
`)

// Memory returns the present memory, and begins one where there is none, or
// where Redis may have lost some of it.
func (r *Redis) Memory(ctx context.Context) (event.Memory, error) {
	met := r.processes.strangers()
	args := []any{rand.Text()}
	for _, id := range met {
		args = append(args, id)
	}
	mark, err := r.runAll(ctx, markScript, []*run{{keys: []string{r.mark}, args: args}})[0].StringSlice()
	if err != nil {
		return event.Memory{}, fmt.Errorf("read the mark in Redis: %w", err)
	}
	n, err := numbers(mark[1:])
	if err != nil {
		return event.Memory{}, errors.New("read the mark in Redis: it is not one")
	}
	r.processes.entered(met)
	m := event.Memory{ID: mark[0], Age: milliseconds(n[2] - n[0])}
	if mark[2] != "" {
		m.Reach = milliseconds(n[0] - n[1])
	}
	return m, nil
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// Restored notes how far back a memory reaches by now. It is false where that
// memory has been lost.
func (r *Redis) Restored(ctx context.Context, id string, reach time.Duration) (bool, error) {
	ok, err := r.ask(ctx, restoredScript, r.mark, id, reach.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("write the mark in Redis: %w", err)
	}
	return ok, nil
}

// processes are the server processes at the other end of the connections. It is
// safe for concurrent use.
type processes struct {
	mu  sync.Mutex
	met map[string]bool // true once the mark knows of it
}

// errReplica keeps connections from a server that can become the master without
// a new connection.
var errReplica = errors.New("the server is a replica")

// meet is told of every new connection.
func (p *processes) meet(ctx context.Context, conn *redis.Conn) error {
	text, err := conn.Info(ctx).Result()
	var refused redis.Error
	id := infoField(text, "run_id")
	switch {
	case errors.As(err, &refused): // it does not tell; a missing mark still does
		return nil
	case err != nil:
		return err
	case id == "" || infoField(text, "redis_mode") == "sentinel":
		return nil
	case infoField(text, "role") == "slave":
		return errReplica
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, met := p.met[id]; !met {
		p.met[id] = false
	}
	return nil
}

func (p *processes) strangers() (ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, known := range p.met {
		if !known {
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *processes) entered(ids []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		p.met[id] = true
	}
}
