package store

import "github.com/redis/go-redis/v9"

// The rules of a claim, as Redis runs them. Each script is safe to run twice with
// the same arguments, because the client library sends it again when a reply is
// lost. The scripts of one claim take one key, those of a group one or many: the
// keys of a group are on several nodes of a cluster, which is given them one by
// one. See redis_group.go.
//
// A claim is a string of lines: its state (c claimed, s spooled, d done); token; topic;
// partition; from offset; offset; 1 where its owner inherited it; replica; until when the
// lease lasts, in milliseconds. Once delivered it has a token, a place and an offset alone.
// What is written nearly always comes from the client nearly as it is kept, for to work on
// texts is most of what a script costs.
const prelude = `
local key, call = KEYS[1], redis.call

local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function ms(n) return string.format('%d', n) end

local function tokenOf(text) return string.match(text, '\n([^\n]*)') end

-- The record of a claim; s is empty where there is none.
local function read(key)
  local text = call('GET', key)
  if not text then return { s = '', left = 0 } end
  local r = {}
  r.s, r.t, r.o, r.p, r.f, r.x, r.v, r.r, r.u = string.match(text,
    '^([csd])\n([^\n]*)\n([^\n]*)\n(%d*)\n(%d*)\n(-?%d*)\n(1?)\n(.*)\n(%d*)$')
  if not r.s then error('not a claim') end
  r.left, r.lease = call('PTTL', key), tonumber(r.u) or 0
  return r
end

-- Writes a text in place of another that has so much time left, and makes it last at
-- least so long; never less than it already does.
local function replace(key, text, left, least)
  if left < tonumber(least) then
    call('SET', key, text, 'PX', least)
  else
    call('SET', key, text, 'KEEPTTL')
  end
end

local function write(key, r, least)
  replace(key, table.concat({ r.s, r.t, r.o, r.p, r.f, r.x, r.v, r.r, r.u }, '\n'), r.left, least)
end
`

// renewScript answers 1 if the token still holds the claim.
var renewScript = redis.NewScript(prelude + `
local r, lease = read(key), ARGV[2]
if r.t ~= ARGV[1] or r.s ~= 'c' then return 0 end
r.u = ms(math.max(r.lease, now() + lease))
write(key, r, lease)
return 1
`)

// spoolScript answers 1 if the token still holds the claim.
var spoolScript = redis.NewScript(prelude + `
local r = read(key)
if r.t ~= ARGV[1] or r.s == 'd' then return 0 end
r.s, r.u = 's', ''
write(key, r, 0)
return 1
`)

// releaseScript answers 1 if the token gave the claim up. An inherited one stays,
// open for the next to inherit: what its first owner did is still to be found out.
var releaseScript = redis.NewScript(prelude + `
local r = read(key)
if r.t ~= ARGV[1] or r.s == 'd' then return 0 end
if r.v == '1' then
  r.s, r.u = 'c', '0'
  write(key, r, 0)
else
  call('DEL', key)
end
return 1
`)
