package store

import "github.com/redis/go-redis/v9"

// The rules of a claim, as Redis runs them. Each script takes one key, so that a
// cluster can run it, and is safe to run twice with the same arguments, because
// the client library sends it again when a reply is lost.
//
// A claim is a hash. Its fields have one letter, for there are a week's worth of
// hashes: t token, s state, r replica, o topic, p partition, f from offset,
// x offset, u lease until (in milliseconds), v whether its owner inherited it.
// Once delivered it has no u, f and v.
const prelude = `
local key = KEYS[1]

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Makes the record last at least that long; never less than it already does.
local function keep(ms)
  if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end

local function extend(ms)
  local lease = now() + tonumber(ms)
  local old = tonumber(redis.call('HGET', key, 'u') or 0)
  redis.call('HSET', key, 'u', math.max(old, lease))
end
`

// claimScript answers the verdict and the record as it is then.
var claimScript = redis.NewScript(prelude + `
local token, lease, wait, kept = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local r = redis.call('HMGET', key, 't', 's', 'u', 'v')
local owner, state, untilMs, inherited = r[1], r[2], tonumber(r[3] or 0), r[4]

local verdict
if not state then
  redis.call('HSET', key, 't', token, 's', 'claimed',
    'r', ARGV[5], 'o', ARGV[6], 'p', ARGV[7], 'f', ARGV[8])
  extend(lease)
  verdict = 'granted'
elseif state == 'done' then
  verdict = 'delivered'
elseif owner == token then
  if state == 'claimed' then extend(lease) end
  verdict = inherited and 'inherited' or 'granted'
elseif state == 'spooled' or now() <= untilMs + wait then
  verdict = 'busy'
else
  redis.call('HSET', key, 't', token, 'r', ARGV[5], 'v', '1')
  extend(lease)
  verdict = 'inherited'
end
if verdict == 'granted' or verdict == 'inherited' then keep(kept) end

local answer = redis.call('HMGET', key, 't', 's', 'r', 'o', 'p', 'f', 'x', 'u')
for i = 1, 8 do answer[i] = answer[i] or '' end
answer[9] = verdict
return answer
`)

// renewScript answers 1 if the token still holds the claim.
var renewScript = redis.NewScript(prelude + `
local token, lease = ARGV[1], ARGV[2]
local r = redis.call('HMGET', key, 't', 's')
if r[1] ~= token or r[2] ~= 'claimed' then return 0 end
extend(lease)
keep(lease)
return 1
`)

// spoolScript answers 1 if the token still holds the claim.
var spoolScript = redis.NewScript(prelude + `
local r = redis.call('HMGET', key, 't', 's')
if r[1] ~= ARGV[1] or r[2] == 'done' then return 0 end
redis.call('HSET', key, 's', 'spooled')
redis.call('HDEL', key, 'u')
return 1
`)

// confirmScript answers 1 if nobody else holds the claim, or holds it no longer.
var confirmScript = redis.NewScript(prelude + `
local token, kept, read = ARGV[1], ARGV[2], ARGV[6] == '1'
local r = redis.call('HMGET', key, 't', 's')
if r[1] and r[1] ~= token and not (read and r[2] ~= 'done') then return 0 end
redis.call('HSET', key, 't', token, 's', 'done', 'o', ARGV[3], 'p', ARGV[4], 'x', ARGV[5])
redis.call('HDEL', key, 'u', 'f', 'v')
keep(kept)
return 1
`)

// releaseScript answers 1 if the token gave the claim up. An inherited one stays,
// open for the next to inherit: what its first owner did is still to be found out.
var releaseScript = redis.NewScript(prelude + `
local r = redis.call('HMGET', key, 't', 's', 'v')
if r[1] ~= ARGV[1] or r[2] == 'done' then return 0 end
if r[3] then
  redis.call('HSET', key, 's', 'claimed', 'u', 0)
else
  redis.call('DEL', key)
end
return 1
`)

// aliasScript answers the owner of an alias, a string: the caller where nobody has
// it yet, or where the caller takes it. See ownerOf.
var aliasScript = redis.NewScript(`
local key, id, kept, take = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
local owner, left = redis.call('GET', key), redis.call('PTTL', key)
if not owner or take == '1' and owner ~= id then
  redis.call('SET', key, id, 'PX', string.format('%d', math.max(left, kept)))
  return id
end
if left < kept then redis.call('PEXPIRE', key, ARGV[2]) end
return owner
`)
