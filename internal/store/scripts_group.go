package store

import "github.com/redis/go-redis/v9"

// The rules of claims and confirmations that are made in groups. What is nearly
// always so costs the fewest calls: of a claim that nobody has made, and of an
// alias that nobody has or that is the caller's.

// aliasRule answers the owner of an alias, a string: 1 for the caller, where nobody
// had it yet, or where the caller takes it. See ownerOf.
const aliasRule = `
local function alias(key, id, ms, take)
  if not take and redis.call('SET', key, id, 'NX', 'PX', ms) then return 1 end
  local owner, left = redis.call('GET', key), redis.call('PTTL', key)
  if not owner or take and owner ~= id then
    redis.call('SET', key, id, 'PX', string.format('%d', math.max(left, tonumber(ms))))
    return 1
  end
  if left < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
  return owner == id and 1 or owner
end
`

// claimsScript makes claims, asks whose aliases are, and whether anybody stands in
// queues: keys of each, in this order. It takes the terms and the replica, how many
// keys are of claims and how many of aliases; of each claim its token, topic,
// partition and offset, and of each alias its owner. It answers the time in
// milliseconds, and then for each key. Of a claim that is new that is 1, and of any
// other the record as it is now and the verdict.
var claimsScript = redis.NewScript(prelude + aliasRule + `
local lease, wait, kept, replica = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local claims, aliases = tonumber(ARGV[5]), tonumber(ARGV[6])
local t = now()
local untilMs = string.format('%d', t + lease)

local function extend(key, old)
  if not old or tonumber(old) < t + lease then redis.call('HSET', key, 'u', untilMs) end
end

local function claim(key, token, topic, partition, from)
  local state = redis.call('HGET', key, 's')
  if not state then
    redis.call('HSET', key, 't', token, 's', 'claimed', 'r', replica,
      'o', topic, 'p', partition, 'f', from, 'u', untilMs)
    redis.call('PEXPIRE', key, kept)
    return 1
  end

  local r = redis.call('HMGET', key, 't', 'u', 'v')
  local owner, old, inherited = r[1], r[2], r[3]
  local verdict
  if state == 'done' then
    verdict = 'delivered'
  elseif owner == token then
    if state == 'claimed' then extend(key, old) end
    verdict = inherited and 'inherited' or 'granted'
  elseif state == 'spooled' or t <= tonumber(old or 0) + wait then
    verdict = 'busy'
  else
    redis.call('HSET', key, 't', token, 'r', replica, 'v', '1')
    extend(key, old)
    verdict = 'inherited'
  end
  if verdict == 'granted' or verdict == 'inherited' then keep(key, kept) end

  local answer = redis.call('HMGET', key, 't', 's', 'r', 'o', 'p', 'f', 'x', 'u')
  for i = 1, 8 do answer[i] = answer[i] or '' end
  answer[9] = verdict
  return answer
end

local answer, n = {t}, 6
for i = 1, claims do
  answer[i + 1] = claim(KEYS[i], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3], ARGV[n + 4])
  n = n + 4
end
for i = claims + 1, claims + aliases do
  n = n + 1
  answer[i + 1] = alias(KEYS[i], ARGV[n], kept, false)
end
local first = claims + aliases + 1
local some = KEYS[first] and redis.call('EXISTS', unpack(KEYS, first)) > 0
for i = first, #KEYS do answer[i + 1] = some and redis.call('EXISTS', KEYS[i]) or 0 end
return answer
`)

// confirmsScript takes keys of claims and then of aliases, and how many are of
// claims; of each claim its token, topic, partition, offset, how long to keep it
// and whether it was read, and of each alias its owner and how long to keep it. It
// answers for each key; of a claim that is 1 if nobody else holds it, or holds it
// no longer.
var confirmsScript = redis.NewScript(prelude + aliasRule + `
local claims = tonumber(ARGV[1])

local function confirm(key, token, topic, partition, offset, kept, read)
  local r = redis.call('HMGET', key, 't', 's')
  if r[1] and r[1] ~= token and not (read == '1' and r[2] ~= 'done') then return 0 end
  redis.call('HSET', key, 't', token, 's', 'done', 'o', topic, 'p', partition, 'x', offset)
  if r[2] and r[2] ~= 'done' then redis.call('HDEL', key, 'u', 'f', 'v') end
  keep(key, kept)
  return 1
end

local answer, n = {}, 1
for i = 1, claims do
  answer[i] = confirm(KEYS[i], ARGV[n + 1], ARGV[n + 2], ARGV[n + 3], ARGV[n + 4], ARGV[n + 5], ARGV[n + 6])
  n = n + 6
end
for i = claims + 1, #KEYS do
  answer[i] = alias(KEYS[i], ARGV[n + 1], ARGV[n + 2], true)
  n = n + 2
end
return answer
`)
