package store

import "github.com/redis/go-redis/v9"

// The rules of transaction numbers, as Redis runs them. Four keys belong to a
// webhook, in one slot of a cluster. Three are sorted sets of gaps, each a
// member of the form "last:since", with its first number as the score; in the
// set of gaps to be asked for again it is "last:since:attempts:due". Gaps of a
// set do not overlap. The first set also holds the ends of what is known: "-" at
// the first number that came, and "+" behind the largest. The fourth key is a
// hash of sums.
//
// A number is written with %d always: what Lua makes of it by itself has 14
// digits.
const numbersPrelude = `
local missing, retrying, unrecoverable, sums = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local sumOf = {[missing] = 'missing', [retrying] = 'retrying', [unrecoverable] = 'unrecoverable'}

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function int(n) return string.format('%d', n) end

-- Sums are added up, and written by the script's last line.
local counts = {}
local function count(sum, n) counts[sum] = (counts[sum] or 0) + n end
local function tell()
  for sum, n in pairs(counts) do
    if n ~= 0 then redis.call('HINCRBY', sums, sum, int(n)) end
  end
  return 1
end

-- The gap of a set with the highest first number that is no higher than n. Its
-- last number is nil where there is none.
local function below(set, n)
  local hit = redis.call('ZREVRANGEBYSCORE', set, int(n), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if not hit[1] then return end
  if hit[1] == '+' then return below(set, tonumber(hit[2]) - 1) end
  local last, tail = string.match(hit[1], '^(%d+)(:.*)$')
  return hit[1], tonumber(hit[2]), tonumber(last), tail
end

local function put(set, first, last, tail)
  redis.call('ZADD', set, int(first), int(last) .. tail)
  count(sumOf[set], last - first + 1)
end

local function drop(set, member, first, last)
  redis.call('ZREM', set, member)
  count(sumOf[set], first - last - 1)
end

-- Takes the numbers from a to b out of a set, and answers the pieces. Where most
-- is given, a gap is not split any more once there are so many.
local function cut(set, a, b, most)
  local pieces = {}
  while true do
    local member, first, last, tail = below(set, b)
    if not last or last < a then break end
    if most and first < a and last > b and redis.call('ZCARD', set) >= most then
      count('merged', 1)
      break
    end
    drop(set, member, first, last)
    if last > b then put(set, b + 1, last, tail) end
    if first < a then put(set, first, a - 1, tail) end
    table.insert(pieces, {math.max(first, a), math.min(last, b), tail})
    if first <= a then break end
  end
  return pieces
end
`

// seeScript takes pairs of a first and a last number that have come, after how
// many gaps there may be, and how far below the first number a later one may
// begin what is known anew.
var seeScript = redis.NewScript(numbersPrelude + `
local most, reach, t = tonumber(ARGV[1]), tonumber(ARGV[2]), now()

-- Notes a gap above all others. Where there is no room, the one below it grows
-- over the numbers between the two, which are then fetched once more.
local function open(first, last)
  local tail = ':' .. int(t)
  if redis.call('ZCARD', missing) >= most then
    local member, f, l, t = below(missing, first)
    if l then
      drop(missing, member, f, l)
      count('merged', 1)
      first, tail = f, t
    end
  end
  put(missing, first, last, tail)
end

-- The ends of what is known. The upper one is written once, for all that come.
local bottom, top = redis.call('ZSCORE', missing, '-'), redis.call('ZSCORE', missing, '+')
local highest = 0
for i = 4, #ARGV, 2 do highest = math.max(highest, tonumber(ARGV[i]) + 1) end
if not top then
  bottom, top = tonumber(ARGV[3]), tonumber(ARGV[4]) + 1
  redis.call('ZADD', missing, int(bottom), '-', int(highest), '+')
else
  bottom, top = tonumber(bottom), tonumber(top)
  if highest > top then redis.call('ZADD', missing, int(highest), '+') end
end

-- Sets that a late number may be in. Of those that have none, none gets one here.
local others
local function sets()
  if not others then
    others = {missing}
    for _, set in ipairs({retrying, unrecoverable}) do
      if redis.call('EXISTS', set) == 1 then table.insert(others, set) end
    end
  end
  return others
end

local function see(a, b)
  if b >= top then
    local old = top
    top = b + 1
    if a > old then open(old, a - 1) end
    if a >= old then return end
    b = old - 1
  end
  local room = b >= bottom - 1 or redis.call('ZCARD', missing) < most
  if a < bottom and bottom - b <= reach and room then
    if b < bottom - 1 then put(missing, b + 1, bottom - 1, ':' .. int(t)) end
    redis.call('ZADD', missing, int(a), '-')
    bottom = a
  end
  for _, set in ipairs(sets()) do cut(set, a, b, most) end
end

for i = 3, #ARGV, 2 do see(tonumber(ARGV[i]), tonumber(ARGV[i + 1])) end
return tell()
`)

// dueScript takes how old a gap must be in milliseconds, how many numbers are
// wanted of each kind at most, and how many gaps may wait to be asked for again
// before no others are asked for. It answers the time, and then kind, first,
// last, since and attempts of each gap.
var dueScript = redis.NewScript(numbersPrelude + `
local grace, limit, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local t = now()
local answer = {int(t)}

local function take(kind, left, first, last, since, attempts)
  last = math.min(last, first + left - 1)
  for _, field in ipairs({kind, int(first), int(last), since, attempts}) do table.insert(answer, field) end
  return left - (last - first + 1)
end

local left = limit
if redis.call('ZCARD', retrying) < most then
  local gaps = redis.call('ZRANGE', missing, 0, limit, 'WITHSCORES')
  for i = 1, #gaps, 2 do
    local last, since = string.match(gaps[i], '^(%d+):(%d+)')
    if last and left > 0 and t - tonumber(since) >= grace then
      left = take('missing', left, tonumber(gaps[i + 1]), tonumber(last), since, '0')
    end
  end
end

left = limit
local gaps = redis.call('ZRANGE', retrying, 0, -1, 'WITHSCORES')
for i = 1, #gaps, 2 do
  local last, since, attempts, due = string.match(gaps[i], '^(%d+):(%d+):(%d+):(%d+)$')
  if left > 0 and t >= tonumber(due) then
    left = take('retrying', left, tonumber(gaps[i + 1]), tonumber(last), since, attempts)
  end
end
return answer
`)

// postponeScript takes, after how many gaps the list of the unrecoverable may
// have, first, last, attempts and wait in milliseconds of each gap; a negative
// wait gives its numbers up. What came meanwhile is in no set any more, and is
// not put back.
var postponeScript = redis.NewScript(numbersPrelude + `
local most, t = tonumber(ARGV[1]), now()

local function giveUp(first, last, since)
  put(unrecoverable, first, last, ':' .. since)
  count('given-up', last - first + 1)
  while redis.call('ZCARD', unrecoverable) > most do
    local oldest = redis.call('ZRANGE', unrecoverable, 0, 0, 'WITHSCORES')
    local first, last = tonumber(oldest[2]), tonumber(string.match(oldest[1], '^%d+'))
    drop(unrecoverable, oldest[1], first, last)
    count('forgotten', last - first + 1)
  end
end

for i = 2, #ARGV, 4 do
  local attempts, wait = ARGV[i + 2], tonumber(ARGV[i + 3])
  for _, set in ipairs({missing, retrying}) do
    for _, piece in ipairs(cut(set, tonumber(ARGV[i]), tonumber(ARGV[i + 1]))) do
      local since = string.match(piece[3], '^:(%d+)')
      if wait < 0 then
        giveUp(piece[1], piece[2], since)
      else
        put(retrying, piece[1], piece[2], ':' .. since .. ':' .. attempts .. ':' .. int(t + wait))
      end
    end
  end
end
return tell()
`)
