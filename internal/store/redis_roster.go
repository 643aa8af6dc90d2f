package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"awareid-gateway/internal/event"
)

// attendScript renews a lease, unless its end is 0. It answers the time, in
// microseconds; the end of the lease among the others' that ends first and has
// not ended yet, in milliseconds, 0 for none; 1 if there was a lease before, 0 if
// not; how many of the others' have not ended, and then the others, those first.
// A lease never becomes shorter: a request that was late must not take one back.
var attendScript = redis.NewScript(prelude + `
local who, lease, t = ARGV[1], tonumber(ARGV[2]), now()
local before = redis.call('ZSCORE', key, who)
if lease > tonumber(before or 0) then redis.call('ZADD', key, lease, who) end
local first, present, absent = 0, {}, {}
local all = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
for i = 1, #all, 2 do
  local ends = tonumber(all[i + 1])
  if all[i] == who then
  elseif ends <= t then table.insert(absent, all[i])
  else
    table.insert(present, all[i])
    if first == 0 or ends < first then first = ends end
  end
end
local exact = redis.call('TIME')
local answer = {string.format('%d', exact[1] * 1000000 + exact[2]), string.format('%d', first), before and '1' or '0', tostring(#present)}
for _, list in ipairs({present, absent}) do
  for _, id in ipairs(list) do table.insert(answer, id) end
end
return answer
`)

// dismissScript forgets leases that have ended.
var dismissScript = redis.NewScript(prelude + `
for i = 1, #ARGV do
  if tonumber(redis.call('ZSCORE', key, ARGV[i]) or 0) <= now() then redis.call('ZREM', key, ARGV[i]) end
end
return 1
`)

// Attend makes the lease of a replica last until a time by the clock of Redis;
// a zero time leaves it as it is, and only looks.
func (r *Redis) Attend(ctx context.Context, who string, until time.Time) (event.Roster, error) {
	lease := int64(0)
	if !until.IsZero() {
		lease = until.UnixMilli()
	}
	answer, err := r.runAll(ctx, attendScript, []*run{{keys: []string{r.roster}, args: []any{who, lease}}})[0].StringSlice()
	if err != nil {
		return event.Roster{}, fmt.Errorf("attend in Redis: %w", err)
	}
	n, err := numbers(answer[:4])
	if err != nil {
		return event.Roster{}, errors.New("attend in Redis: the answer cannot be read")
	}
	others, present := answer[4:], n[3]
	roster := event.Roster{Now: time.UnixMicro(n[0]), Knew: n[2] == 1, Present: others[:present], Absent: others[present:]}
	if n[1] > 0 {
		roster.FirstEnd = time.UnixMilli(n[1])
	}
	return roster, nil
}

// Dismiss forgets replicas whose lease has ended.
func (r *Redis) Dismiss(ctx context.Context, who []string) error {
	args := make([]any, len(who))
	for i, id := range who {
		args[i] = id
	}
	if _, err := r.ask(ctx, dismissScript, r.roster, args...); err != nil {
		return fmt.Errorf("dismiss replicas in Redis: %w", err)
	}
	return nil
}

// Leave ends the lease of a replica that stands behind no event any more.
func (r *Redis) Leave(ctx context.Context, who string) error {
	if err := r.client.ZRem(ctx, r.roster, who).Err(); err != nil {
		return fmt.Errorf("leave in Redis: %w", err)
	}
	return nil
}

// leadScript answers 1 if the task is the asker's until its lease ends.
var leadScript = redis.NewScript(prelude + `
local who, lease = ARGV[1], tonumber(ARGV[2])
local r = redis.call('HMGET', key, 't', 'u')
if r[1] and r[1] ~= who and now() < tonumber(r[2]) then return 0 end
redis.call('HSET', key, 't', who, 'u', now() + lease)
redis.call('PEXPIRE', key, lease + 60000)
return 1
`)

// Lead asks to do a task for all replicas, or to go on with it. It reports
// whether the task is the asker's for as long as the lease. A lease of 0 gives
// the task up.
func (r *Redis) Lead(ctx context.Context, task, who string, lease time.Duration) (bool, error) {
	ok, err := r.ask(ctx, leadScript, r.leaders+task, who, lease.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("ask to lead in Redis: %w", err)
	}
	return ok, nil
}
