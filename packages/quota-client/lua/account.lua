-- account.lua: read before every other script of this folder (src/scripts.ts joins them). It knows how one account, a
-- pool's or a tenant's, is kept: one string of 22 doubles that every call needs, then a ring of 256 buckets of two
-- doubles (requests, tokens) that is touched only when the bucket changes. Its twin in TypeScript is src/account.ts.
-- The clock is Redis's own, so that all instances have the same one.

local BIRTH, EPOCH, PHASE_ENDS, SEQ, BUCKET, SUM_R, SUM_T, CUR_R, CUR_T = 1, 2, 3, 4, 5, 6, 7, 8, 9
local DAY_END, DAY_R, DAY_T, RESTORED_R, RESTORED_T, PAUSE_UNTIL, PAUSE_KIND = 10, 11, 12, 13, 14, 15, 16
local SHRINK_SINCE, SHRINK_FACTOR, INSTANCES, HUNGRY, HUNGRY_USE, PHASE_INSTANCES = 17, 18, 19, 20, 21, 22
local FIELDS, WIRE, RING, SLOTS, SPAN = 22, '<dddddddddddddddddddddd', 176, 256, 240
local DECIDED, REPORT_FIRST = 0, 1

local time = redis.call('TIME')
local NOW_US = time[1] * 1000000 + time[2]
local NOW = NOW_US / 1000
local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min

local function load(key)
  local raw = redis.call('GETRANGE', key, 0, RING - 1)
  if #raw < RING then return nil end
  return { struct.unpack(WIRE, raw) }
end

local function create(windowMs)
  local s = {}
  for field = 1, FIELDS do s[field] = 0 end
  s[BIRTH], s[EPOCH], s[SHRINK_FACTOR], s[BUCKET] = NOW_US, NOW_US, 1, floor(NOW * SPAN / windowMs)
  return s
end

-- A tenant's account has the pool's birth as its epoch: after a loss of the pool's state it is not trusted either.
local function createTenant(pool, windowMs, overAnother)
  local s = create(windowMs)
  s[EPOCH], s.wipe = pool[BIRTH], overAnother
  return s
end

local function wire(s)
  return struct.pack(WIRE, unpack(s, 1, FIELDS))
end

-- Every reply starts with the number of its call, so that a reply to another call is never taken for this one's.
local function reply(call, status, s, rest)
  return struct.pack('<ddd', call, NOW, status) .. (s and wire(s) or string.rep('\0', RING)) .. (rest or '')
end

-- Whether an instance that knows `epoch`, 0 for none, and has seen `seen` writes in it must report before it takes part:
-- the state was lost, fell behind or began anew, or it comes while others report and none of the shares is its own.
local function mustReport(s, epoch, seen)
  if not s then return true end
  if epoch == 0 then return s[PHASE_ENDS] > NOW end
  return s[EPOCH] ~= epoch or s[SEQ] < seen
end

local function cells(key, from, count)
  local first = from % SLOTS
  local inEnd = min(count, SLOTS - first)
  local raw = redis.call('GETRANGE', key, RING + first * 16, RING + (first + inEnd) * 16 - 1)
  raw = raw .. string.rep('\0', inEnd * 16 - #raw)
  if inEnd == count then return raw end
  local wrapped = redis.call('GETRANGE', key, RING, RING + (count - inEnd) * 16 - 1)
  return raw .. wrapped .. string.rep('\0', (count - inEnd) * 16 - #wrapped)
end

local function writeCell(key, bucket, r, t)
  redis.call('SETRANGE', key, RING + (bucket % SLOTS) * 16, struct.pack('<dd', r, t))
end

-- Moves on to now in memory; `store` writes it. A clock that stepped back is waited for, one that stepped back by more
-- than a window is followed: all use then counts as made now, which must be written even when nothing is granted.
local function roll(key, s, windowMs, ends)
  local bucket = floor(NOW * SPAN / windowMs)
  local gone = bucket - s[BUCKET]
  if gone > SPAN then
    s.wipe, s[SUM_R], s[SUM_T], s[CUR_R], s[CUR_T], s[BUCKET] = true, 0, 0, 0, 0, bucket
  elseif gone > 0 then
    s.leftFrom, s.left = s[BUCKET] - SPAN, gone
    local raw = cells(key, s.leftFrom, gone)
    for at = 1, gone * 16, 16 do
      local r, t = struct.unpack('<dd', raw, at)
      s[SUM_R], s[SUM_T] = s[SUM_R] - r, s[SUM_T] - t
    end
    s.tail, s.tailR, s.tailT = s[BUCKET], s[CUR_R], s[CUR_T]
    s[CUR_R], s[CUR_T], s[BUCKET] = 0, 0, bucket
  elseif gone < -SPAN then
    s.folded, s.wipe, s[CUR_R], s[CUR_T], s[BUCKET] = true, true, s[SUM_R], s[SUM_T], bucket
  end
  if NOW >= s[DAY_END] or s[DAY_END] > ends[3] then
    if NOW >= s[DAY_END] then s[DAY_R], s[DAY_T], s[RESTORED_R], s[RESTORED_T] = 0, 0, 0, 0 end
    s[DAY_END] = NOW < ends[1] and ends[1] or NOW < ends[2] and ends[2] or NOW < ends[3] and ends[3]
      or ends[3] + (floor((NOW - ends[3]) / 86400000) + 1) * 86400000
    s.newDay = true
  end
end

-- Writes the ring's part of a roll, after which cells may be read and written.
local function storeRing(key, s)
  if s.wipe then
    redis.call('SETRANGE', key, RING, string.rep('\0', SLOTS * 16))
  elseif s.tail then
    local first = s.leftFrom % SLOTS
    local inEnd = min(s.left, SLOTS - first)
    redis.call('SETRANGE', key, RING + first * 16, string.rep('\0', inEnd * 16))
    if inEnd < s.left then redis.call('SETRANGE', key, RING, string.rep('\0', (s.left - inEnd) * 16)) end
    writeCell(key, s.tail, s.tailR, s.tailT)
  end
  s.wipe, s.tail = nil, nil
end

local function store(key, s)
  storeRing(key, s)
  s[SEQ] = s[SEQ] + 1
  redis.call('SETRANGE', key, 0, wire(s))
  if s.newDay then redis.call('PEXPIREAT', key, ceil(s[DAY_END]) + 86400000) end
end

local function charge(s, r, t)
  s[SUM_R], s[SUM_T], s[CUR_R], s[CUR_T] = s[SUM_R] + r, s[SUM_T] + t, s[CUR_R] + r, s[CUR_T] + t
  s[DAY_R], s[DAY_T] = s[DAY_R] + r, s[DAY_T] + t
end

-- Adds to the bucket of an earlier charge or, negative, takes from it. What has left the ring changes nothing.
local function adjust(key, s, bucket, r, t)
  storeRing(key, s)
  local age = s[BUCKET] - bucket
  if age > SPAN then return end
  if age < 0 then r, t = max(0, r), max(0, t) end
  if age <= 0 then
    r, t = max(-s[CUR_R], r), max(-s[CUR_T], t)
    s[CUR_R], s[CUR_T] = s[CUR_R] + r, s[CUR_T] + t
  else
    local cellR, cellT = struct.unpack('<dd', cells(key, bucket, 1))
    r, t = max(-cellR, r), max(-cellT, t)
    if r ~= 0 or t ~= 0 then writeCell(key, bucket, cellR + r, cellT + t) end
  end
  s[SUM_R], s[SUM_T] = s[SUM_R] + r, s[SUM_T] + t
end

-- `corrections` is 'bucket,requests,tokens;…' followed by 'dayEnd,requests,tokens|…', as the instances' ledgers write it.
local function adjustAll(key, s, corrections, least)
  for bucket, r, t in string.gmatch(corrections, '(%d+),(-?%d+),(-?%d+);') do
    adjust(key, s, tonumber(bucket), max(least, r), max(least, t))
  end
  for dayEnd, r, t in string.gmatch(corrections, '(%d+),(-?%d+),(-?%d+)|') do
    if tonumber(dayEnd) == s[DAY_END] then
      s[DAY_R], s[DAY_T] = max(0, s[DAY_R] + max(least, r)), max(0, s[DAY_T] + max(least, t))
    end
  end
end

-- The least correction to make: any, or, when these were seen before, no refund but the overruns. A connection that may
-- resend commands names itself and numbers its corrections; one that does not leaves the name empty.
local function leastCorrection(key, id, number)
  if id == '' then return -math.huge end
  if tonumber(redis.call('HGET', key, id) or 0) >= number then return 0 end
  redis.call('HSET', key, id, number)
  redis.call('PEXPIRE', key, 86400000)
  return -math.huge
end

local function dayEnds(text)
  local a, b, c = string.match(text, '^(%d+),(%d+),(%d+)$')
  return { tonumber(a), tonumber(b), tonumber(c) }
end
