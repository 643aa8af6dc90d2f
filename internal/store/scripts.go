package store

import "github.com/redis/go-redis/v9"

// The rules of a claim, as Redis runs them. Each script is safe to run twice with
// the same arguments, because the client library sends it again when a reply is
// lost. The scripts of one claim take one key, those of a group one or many: the
// keys of a group are on several nodes of a cluster, which is given them one by
// one. See redis_group.go.
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

-- Makes a record last at least that long; never less than it already does.
local function keep(key, ms)
  if redis.call('PTTL', key) < tonumber(ms) then redis.call('PEXPIRE', key, ms) end
end
`

// renewScript answers 1 if the token still holds the claim.
var renewScript = redis.NewScript(prelude + `
local token, lease = ARGV[1], ARGV[2]
local r = redis.call('HMGET', key, 't', 's', 'u')
if r[1] ~= token or r[2] ~= 'claimed' then return 0 end
redis.call('HSET', key, 'u', string.format('%d', math.max(tonumber(r[3] or 0), now() + lease)))
keep(key, lease)
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
