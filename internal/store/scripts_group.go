package store

import "github.com/redis/go-redis/v9"

// The rules of claims and confirmations that are made in groups. What is nearly
// always so costs the fewest calls: of a claim that nobody has made, and of an
// alias that nobody has or that is the caller's.

// aliasRule answers the owner of an alias, a string: 1 for the caller, where nobody
// had it yet, or where the caller takes it. See ownerOf.
const aliasRule = `
local function alias(key, id, ms, take)
  if not take and call('SET', key, id, 'NX', 'PX', ms) then return 1 end
  local owner, left = call('GET', key), call('PTTL', key)
  if not owner or take and owner ~= id then
    call('SET', key, id, 'PX', string.format('%d', math.max(left, tonumber(ms))))
    return 1
  end
  if left < tonumber(ms) then call('PEXPIRE', key, ms) end
  return owner == id and 1 or owner
end
`

// claimsScript makes claims, asks whose aliases are, and whether anybody stands in
// queues: keys of each, in this order. It takes the terms and the replica, how many
// keys are of claims and how many of aliases; of each claim its record if it is new,
// without the last line, and of each alias its owner. It answers the time in milliseconds,
// and then for each key. Of a claim that is new that is 1, and of any other the record as
// it is now and the verdict.
var claimsScript = redis.NewScript(prelude + aliasRule + `
local lease, wait, kept, replica = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local claims, aliases = tonumber(ARGV[5]), tonumber(ARGV[6])
local t = now()
local untilMs = ms(t + lease)
local states = { c = 'claimed', s = 'spooled', d = 'done' }

local function claim(key, text)
  if call('SET', key, text .. untilMs, 'NX', 'PX', kept) then return 1 end

  local r, token = read(key), tokenOf(text)
  local verdict
  if r.s == 'd' then
    verdict = 'delivered'
  elseif r.t == token then
    verdict = r.v == '1' and 'inherited' or 'granted'
  elseif r.s == 's' or t <= r.lease + wait then
    verdict = 'busy'
  else
    r.t, r.r, r.v = token, replica, '1'
    verdict = 'inherited'
  end
  if verdict == 'granted' or verdict == 'inherited' then
    if r.s == 'c' then r.u = ms(math.max(r.lease, t + lease)) end
    write(key, r, kept)
  end
  return { r.t, states[r.s], r.r, r.o, r.p, r.f, r.x, r.u, verdict }
end

local answer, n = {t}, 6
for i = 1, claims do answer[i + 1] = claim(KEYS[i], ARGV[n + i]) end
n = n + claims
for i = claims + 1, claims + aliases do
  n = n + 1
  answer[i + 1] = alias(KEYS[i], ARGV[n], kept, false)
end
local first = claims + aliases + 1
local some = KEYS[first] and call('EXISTS', unpack(KEYS, first)) > 0
for i = first, #KEYS do answer[i + 1] = some and call('EXISTS', KEYS[i]) or 0 end
return answer
`)

// confirmsScript takes keys of claims and then of aliases, how many are of claims, how
// long to keep all of them, whether the claims were read, and until when the lease of each
// holds; of each claim what its record begins with where it is open and the token's, and
// its record from now on, and of each alias its owner. It answers for each key; of a claim
// that is 1 if nobody else holds it, or holds it no longer.
var confirmsScript = redis.NewScript(prelude + aliasRule + `
local claims, kept, found = tonumber(ARGV[1]), ARGV[2], ARGV[3] == '1'
local fresh = now() <= tonumber(ARGV[4])

local function confirm(key, open, text)
  if fresh and call('GETRANGE', key, 0, #open - 1) == open then
    call('SET', key, text, 'KEEPTTL')
    return 1
  end
  local r = read(key)
  if r.s ~= '' and r.t ~= tokenOf(text) and not (found and r.s ~= 'd') then return 0 end
  replace(key, text, r.left, kept)
  return 1
end

local answer, n = {}, 4
for i = 1, claims do
  answer[i] = confirm(KEYS[i], ARGV[n + 1], ARGV[n + 2])
  n = n + 2
end
for i = claims + 1, #KEYS do
  n = n + 1
  answer[i] = alias(KEYS[i], ARGV[n], kept, true)
end
return answer
`)
