-- account.lua: one account of the pool's hash, the pool's own or a tenant's. Read before quota.lua; src/redis/layout.ts
-- puts a list of constants before both: the position of each field (BUCKET, SUM_R, ...), FIELDS, WIRE and SPAN.
-- An account is two fields of the hash: `<name>` holds FIELDS doubles, `ring <name>` the filled buckets before the current one,
-- oldest first, as three doubles each (bucket, requests, tokens). What was charged stays charged for SPAN + 1 buckets.
-- KEYS[1] the pool's hash. Needs NOW (milliseconds, never behind the state's last write) and RING_LENGTH (milliseconds).

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local pack, read = struct.pack, struct.unpack
local KEY, NOW, RING_LENGTH = KEYS[1], 0, 0
local ENTRY, ENTRY_BYTES, DAY_MS, UNLIMITED = '<ddd', 24, 86400000, 9007199254740991
local RECOVERY_WINDOWS = 25 -- a shrunk limit is whole again after so many windows: a fifth comes back in five

local function create(name)
  local a = { name = name, ring = '', reservedR = 0, reservedT = 0 }
  for field = 1, FIELDS do a[field] = 0 end
  a[SHRINK_FACTOR] = 1
  return a
end

local function load(name)
  local raw = redis.call('HGET', KEY, name)
  if not raw then return nil end
  if #raw < FIELDS * 8 then return { name = name, [LAYOUT] = 0 } end
  local a = { read(WIRE, raw) }
  a.name, a.run, a[FIELDS + 1] = name, string.sub(raw, FIELDS * 8 + 1), nil
  a.reservedR, a.reservedT = 0, 0 -- room of calls in line whose turn it is
  return a
end

local function ringOf(a)
  if not a.ring then a.ring = redis.call('HGET', KEY, 'ring ' .. a.name) or '' end
  return a.ring
end

local function wire(a)
  return pack(WIRE, unpack(a, 1, FIELDS))
end

local function setRing(a, ring)
  a.ring, a.ringChanged, a.changed = ring, true, true
end

-- Moves the account on to NOW: what has left the ring is subtracted, a new day begins at zero.
local function roll(a, ends)
  local bucket = floor(NOW * SPAN / RING_LENGTH)
  if bucket > a[BUCKET] then
    local ring, gone = ringOf(a), 0
    if a[CUR_R] > 0 or a[CUR_T] > 0 then ring = ring .. pack(ENTRY, a[BUCKET], a[CUR_R], a[CUR_T]) end
    while gone < #ring do
      local at, r, t = read(ENTRY, ring, gone + 1)
      if bucket - at <= SPAN then break end
      a[SUM_R], a[SUM_T], gone = a[SUM_R] - r, a[SUM_T] - t, gone + ENTRY_BYTES
    end
    setRing(a, string.sub(ring, gone + 1))
    a[CUR_R], a[CUR_T], a[BUCKET] = 0, 0, bucket
  end
  if NOW < a[DAY_END] and a[DAY_END] <= ends[3] then return end
  if NOW >= a[DAY_END] then a[DAY_R], a[DAY_T], a[BASE_R], a[BASE_T] = 0, 0, 0, 0 end
  a[DAY_END] = NOW < ends[1] and ends[1] or NOW < ends[2] and ends[2] or NOW < ends[3] and ends[3]
    or ends[3] + (floor((NOW - ends[3]) / DAY_MS) + 1) * DAY_MS
  a.changed, a.newDay = true, true
end

local function charge(a, r, t)
  a[SUM_R], a[SUM_T], a[CUR_R], a[CUR_T] = a[SUM_R] + r, a[SUM_T] + t, a[CUR_R] + r, a[CUR_T] + t
  a[DAY_R], a[DAY_T], a.changed = a[DAY_R] + r, a[DAY_T] + t, true
end

-- Where the entry of an earlier bucket begins in the ring, and what it holds; nil when there is none.
local function find(ring, bucket)
  for at = #ring - ENTRY_BYTES + 1, 1, -ENTRY_BYTES do
    local b, r, t = read(ENTRY, ring, at)
    if b == bucket then return at, r, t end
    if b < bucket then return nil end
  end
end

-- Adds tokens to the charge made in `bucket`, or takes requests and tokens back from it, never below zero. What has left the
-- ring is not taken back any more; an overrun of it counts for its day only.
local function adjust(a, x)
  local t = x.addT
  a.changed = true
  if x.inRing and a[BUCKET] - x.bucket <= SPAN then
    local at, cellR, cellT
    if x.bucket == a[BUCKET] then cellR, cellT = a[CUR_R], a[CUR_T] else at, cellR, cellT = find(ringOf(a), x.bucket) end
    local r = -min(x.takeR, cellR or 0)
    t = max(x.addT - x.takeT, -(cellT or 0))
    if at then
      setRing(a, string.sub(a.ring, 1, at - 1) .. pack(ENTRY, x.bucket, cellR + r, cellT + t) .. string.sub(a.ring, at + ENTRY_BYTES))
    else
      a[CUR_R], a[CUR_T] = a[CUR_R] + r, a[CUR_T] + t
    end
    a[SUM_R], a[SUM_T] = a[SUM_R] + r, a[SUM_T] + t
    if x.dayEnd == a[DAY_END] then a[DAY_R] = max(0, a[DAY_R] + r) end
  end
  if x.dayEnd == a[DAY_END] then a[DAY_T] = max(0, a[DAY_T] + t) end
end

-- `text` is 'bucket,dayEnd,addT,takeR,takeT;…'. Overruns always count; take-backs only when `mayTake`.
local function adjustAll(a, text, same, mayTake)
  for bucket, dayEnd, addT, takeR, takeT in string.gmatch(text, '(%d+),(%d+),(%d+),(%d+),(%d+);') do
    if not mayTake then takeR, takeT = 0, 0 end
    adjust(a, { bucket = tonumber(bucket), dayEnd = tonumber(dayEnd), inRing = same,
      addT = tonumber(addT), takeR = tonumber(takeR), takeT = tonumber(takeT) })
  end
end

local function shrink(limit, factor)
  return factor < 1 and max(min(1, limit), floor(limit * factor)) or limit
end

-- The limits as a call of this kind sees them: rpm, rpd, tpm, tpd; those of the minute as they are shrunk now.
local function ceilings(a, batch, margin)
  local c = {}
  for at = 1, 4 do
    local limit = a.limits[at]
    c[at] = batch and limit < UNLIMITED and floor(limit * margin) or limit
  end
  c.rpm, c.tpm = shrink(c[1], a.factor), shrink(c[3], a.factor)
  return c
end

-- How many calls of r requests and t tokens fit, at most `count`.
local function fits(a, c, r, t, count)
  local freeT, freeDayT = c.tpm - a[SUM_T] - a.reservedT, c[4] - a[BASE_T] - a[DAY_T] - a.reservedT
  count = min(count, floor((c.rpm - a[SUM_R] - a.reservedR) / r), floor((c[2] - a[BASE_R] - a[DAY_R] - a.reservedR) / r))
  if t > 0 then count = min(count, floor(freeT / t), floor(freeDayT / t))
  elseif freeT < 0 or freeDayT < 0 then count = 0 end
  return max(0, count)
end

-- Milliseconds until a bucket has left the ring; one more than the arithmetic says, as Node's timers may fire early.
local function leavesIn(bucket)
  return ceil((bucket + SPAN + 1) * RING_LENGTH / SPAN - NOW) + 1
end

-- When the oldest buckets that together hold `excess` have left; kind 1 is requests, 2 is tokens.
local function freedIn(a, kind, excess)
  local ring, freed = ringOf(a), 0
  for at = 1, #ring, ENTRY_BYTES do
    local bucket, r, t = read(ENTRY, ring, at)
    freed = freed + (kind == 1 and r or t)
    if freed >= excess then return leavesIn(bucket) end
  end
  return leavesIn(a[BUCKET])
end

-- The starts of a full ring repeat themselves after so long.
local function cycle() return RING_LENGTH * (SPAN + 1) / SPAN end

local function ringWait(a, kind, used, limit, amount, before)
  if amount == 0 then before = 0 end
  local perCycle = max(1, floor(limit.now / max(1, amount)))
  local excess, laterBy = used + (before % perCycle + 1) * amount - limit.now, floor(before / perCycle) * cycle()
  if excess <= 0 then return laterBy end
  local wait = freedIn(a, kind, excess) + laterBy
  if amount <= limit.now then return wait end
  return max(wait, ceil((amount / limit.whole - a.factor) * RECOVERY_WINDOWS * RING_LENGTH) + 1)
end

-- The limit (1 to 4: rpm, rpd, tpm, tpd) that refuses for longest, and for how long; 0, 0 when none does. `before`: so many
-- calls of the same size are to start first.
local function shortage(a, c, r, t, before)
  local dayWait = ceil(a[DAY_END] - NOW) + 1
  local waits = {
    ringWait(a, 1, a[SUM_R], { now = c.rpm, whole = c[1] }, r, before),
    a[BASE_R] + a[DAY_R] + (before + 1) * r > c[2] and dayWait or 0,
    ringWait(a, 2, a[SUM_T], { now = c.tpm, whole = c[3] }, t, before),
    a[BASE_T] + a[DAY_T] + (before + 1) * t > c[4] and dayWait or 0,
  }
  local why, wait = 0, 0
  for at = 1, 4 do
    if waits[at] > wait then why, wait = at, waits[at] end
  end
  return why, wait
end
