-- reserve.lua: decides the reservations asked for in one turn of an instance's event loop, in the order they were asked,
-- each as if it had come alone: all limits of the pool and, if given, of a tenant, or nothing. A refusal writes nothing.
-- KEYS[1] the pool's account
-- KEYS[2] the pool's register of refunds taken once
-- KEYS[3] the tenant's account; the pool's again when there is no tenant
-- ARGV[1] the question 'call,plain,batch,epoch,seen,requests,tokens,passed':
--   call: number of the call; plain: 1 when reserve-hot.lua may decide; batch: 1 when a batch call is among them
--   epoch: the one the caller knows, 0 when it knows none; seen: the number of writes it has seen in that epoch
--   requests, tokens: of all the reservations together
--   passed: end of the last pause after which the caller's probe was served; while its probe is out, how long the others
--   have to wait for it, negative
-- ARGV[2] the terms 'windowMs,margin,rpm,rpd,tpm,tpd,a,b,c': length of the window, share of the limits that batch calls
-- may fill, the pool's limits, ends of yesterday, today and tomorrow
-- ARGV[3] runs of equal reservations 'count,requests,tokens,batch;…' with batch 0 or 1
-- ARGV[4] corrections of the pool
-- The following, like KEYS[2] and KEYS[3], only when plain is 0:
-- ARGV[5] the caller's fair part 'share,bucket,requests,tokens' while others go without, else empty
-- ARGV[6] the tenant's limits 'rpm,rpd,tpm,tpd', else empty
-- ARGV[7] corrections of the tenant
-- ARGV[8] name of the caller when its connection may resend, else empty
-- ARGV[9] number of these corrections
-- RETURNS the reply's head, the pool's account and, if given, the tenant's; when not all were surely granted, three doubles a run: how many
-- were, why the others were not (1 to 4 the pool's rpm, rpd, tpm, tpd; 5 to 8 the tenant's; 9 a pause), when to return
-- Atomic, because what is free must not change between looking and taking, over all limits and instances.

local poolKey, once, tenantKey = KEYS[1], KEYS[2], KEYS[3]
local question, terms, runs, corrections, fair = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5] or ''
local tenantLimits, tenantCorrections, id, number = ARGV[6] or '', ARGV[7] or '', ARGV[8] or '', tonumber(ARGV[9])
local call, hasBatch, epoch, seen, allR, allT, passed =
  string.match(question, '^(%d+),%d,(%d),(%d+),(%d+),(%d+),(%d+),(-?[%d.]+)$')
epoch, seen, allR, allT, passed = tonumber(epoch), tonumber(seen), tonumber(allR), tonumber(allT), tonumber(passed)
local windowMs, margin, poolLimits, endsText =
  string.match(terms, '^(%d+),([%d.e-]+),(%d+,%d+,%d+,%d+),(%d+,%d+,%d+)$')
local ends = dayEnds(endsText)
windowMs, margin = tonumber(windowMs), tonumber(margin)
local PAUSED, RECOVERY_MS = 9, 25 * windowMs -- a whole limit comes back in 25 windows, a fifth in five

local function account(key, s, limits, factor)
  local rpm, rpd, tpm, tpd = string.match(limits, '^(%d+),(%d+),(%d+),(%d+)$')
  return { key = key, s = s, factor = factor, limits = { tonumber(rpm), tonumber(rpd), tonumber(tpm), tonumber(tpd) } }
end

local function shrink(limit, factor)
  return factor < 1 and max(min(1, limit), floor(limit * factor)) or limit
end

-- What the account holds at most for calls of this kind: the whole ceilings, then the two that shrink as they are now.
local function ceilings(a, batch)
  local c = {}
  for at = 1, 4 do
    c[at] = batch and a.limits[at] < 9007199254740991 and floor(a.limits[at] * margin) or a.limits[at]
  end
  c.rpm, c.tpm = shrink(c[1], a.factor), shrink(c[3], a.factor)
  return c
end

local function fits(a, c, r, t, count)
  local s = a.s
  count = min(count, floor((c.rpm - s[SUM_R]) / r), floor((c[2] - s[DAY_R]) / r))
  if t > 0 then count = min(count, floor((c.tpm - s[SUM_T]) / t), floor((c[4] - s[DAY_T]) / t)) end
  if t == 0 and (s[SUM_T] > c.tpm or s[DAY_T] > c[4]) then count = 0 end
  return max(0, count)
end

-- The filled buckets, oldest first, with running sums: read once, however many runs are refused.
local function history(a)
  if a.history then return a.history end
  local s, h, sumR, sumT = a.s, {}, 0, 0
  local raw = cells(a.key, s[BUCKET] - SPAN, SPAN)
  for at = 0, SPAN do
    local bucket, r, t = s[BUCKET] - SPAN + at, 0, 0
    if at == SPAN then r, t = s[CUR_R], s[CUR_T]
    elseif s.tail == bucket then r, t = s.tailR, s.tailT
    elseif not s.wipe and not (s.tail and bucket > s.tail) then r, t = struct.unpack('<dd', raw, at * 16 + 1) end
    if r > 0 or t > 0 then
      sumR, sumT = sumR + r, sumT + t
      h[#h + 1] = { sumR, sumT, bucket }
    end
  end
  a.history = h
  return h
end

-- One millisecond more than the arithmetic says, because Node's timers may fire that much early.
local function freedIn(a, kind, excess)
  local h = history(a)
  local low, high = 1, #h
  while low < high do
    local middle = floor((low + high) / 2)
    if h[middle][kind] >= excess then high = middle else low = middle + 1 end
  end
  local bucket = h[low] and h[low][3] or a.s[BUCKET]
  return ceil((bucket + SPAN + 1) * windowMs / SPAN - NOW) + 1
end

local function windowWait(a, kind, used, limits, amount)
  local excess = used + amount - limits.now
  if excess <= 0 then return 0 end
  local wait = freedIn(a, kind, excess)
  if amount <= limits.now then return wait end
  return max(wait, ceil((amount / limits.whole - a.factor) * RECOVERY_MS) + 1)
end

-- Which limit refuses for longest, and for how long; 0, 0 when none does.
local function shortage(a, c, r, t)
  local s, dayWait = a.s, ceil(a.s[DAY_END] - NOW)
  local waits = {
    windowWait(a, 1, s[SUM_R], { now = c.rpm, whole = c[1] }, r),
    s[DAY_R] + r > c[2] and dayWait or 0,
    windowWait(a, 2, s[SUM_T], { now = c.tpm, whole = c[3] }, t),
    s[DAY_T] + t > c[4] and dayWait or 0,
  }
  local why, wait = 0, 0
  for at = 1, 4 do
    if waits[at] > wait then why, wait = at, waits[at] end
  end
  return why, wait
end

local pool = load(poolKey)
if mustReport(pool, epoch, seen) then return reply(call, REPORT_FIRST, pool) end
roll(poolKey, pool, windowMs, ends)
local corrected, tenantCorrected = corrections ~= '', tenantCorrections ~= ''
local least = (corrected or tenantCorrected) and leastCorrection(once, id, number) or 0
if corrected then adjustAll(poolKey, pool, corrections, least) end

local factor = min(1, pool[SHRINK_FACTOR] + max(0, NOW - pool[SHRINK_SINCE]) / RECOVERY_MS)
if factor == 1 then pool[SHRINK_FACTOR] = 1 end
local accounts = { account(poolKey, pool, poolLimits, factor) }
if tenantLimits ~= '' then
  local s = load(tenantKey)
  if not s or s[EPOCH] ~= pool[BIRTH] then s = createTenant(pool, windowMs, s ~= nil) end
  roll(tenantKey, s, windowMs, ends)
  if tenantCorrected then adjustAll(tenantKey, s, tenantCorrections, least) end
  accounts[2] = account(tenantKey, s, tenantLimits, 1)
end

local paused = pool[PAUSE_UNTIL] > NOW
local waiting = not paused and passed < 0
local probing = not paused and not waiting and pool[PAUSE_UNTIL] ~= passed and NOW < pool[PAUSE_UNTIL] + windowMs
local mayGrant = (paused or waiting) and 0 or probing and 1 or math.huge

local fairR, fairT, tookNothing = math.huge, math.huge, false
if fair ~= '' then
  local share, bucket, r, t = string.match(fair, '^([%d.e-]+),(%d+),(%d+),(%d+)$')
  if tonumber(bucket) ~= pool[BUCKET] then r, t = 0, 0 end
  local c = ceilings(accounts[1], false)
  fairR = ceil((c.rpm - pool[SUM_R] + pool[CUR_R]) * share) - r
  fairT = ceil((c.tpm - pool[SUM_T] + pool[CUR_T]) * share) - t
  tookNothing = tonumber(r) == 0
end

local function tenantWire()
  return accounts[2] and wire(accounts[2].s) or ''
end

-- The common case, all of them fit, without looking at each.
local function allFit()
  if paused or waiting or probing or fair ~= '' then return false end
  for _, a in ipairs(accounts) do
    if fits(a, ceilings(a, hasBatch == '1'), allR, allT, 1) < 1 then return false end
  end
  return true
end

if allFit() then
  for _, a in ipairs(accounts) do
    charge(a.s, allR, allT)
    store(a.key, a.s)
  end
  return reply(call, DECIDED, pool, tenantWire())
end

local granted, outcomes = 0, {}
for count, r, t, batch in string.gmatch(runs, '(%d+),(%d+),(%d+),(%d);') do
  count, r, t, batch = tonumber(count), tonumber(r), tonumber(t), batch == '1'
  local fitting = min(count, mayGrant)
  local limits = {}
  for at, a in ipairs(accounts) do
    limits[at] = ceilings(a, batch)
    fitting = fits(a, limits[at], r, t, fitting)
  end
  local fairly = max(0, min(floor(fairR / r), t > 0 and floor(fairT / t) or math.huge))
  if tookNothing then fairly = max(1, fairly) end
  local take = min(fitting, fairly)
  if take > 0 then
    for _, a in ipairs(accounts) do
      charge(a.s, take * r, take * t)
      a.history = nil
    end
    granted, mayGrant, tookNothing = granted + take, mayGrant - take, false
    fairR, fairT = fairR - take * r, fairT - take * t
  end
  local why, wait = 0, 0
  if take < count then
    if paused then why, wait = PAUSED, ceil(pool[PAUSE_UNTIL] - NOW) + 1
    elseif waiting then why, wait = PAUSED, -passed
    elseif mayGrant == 0 then why, wait = PAUSED, ceil(windowMs / 6) + 1
    elseif fairly < fitting then why, wait = 1, ceil((pool[BUCKET] + 1) * windowMs / SPAN - NOW) + 1 end
    for at, a in ipairs(accounts) do
      local limit, limitWait = shortage(a, limits[at], r, t)
      if limitWait > wait then why, wait = limit + (at - 1) * 4, limitWait end
    end
  end
  outcomes[#outcomes + 1] = struct.pack('<ddd', take, why, wait)
end

if granted > 0 or corrected or pool.folded then store(poolKey, pool) end
if accounts[2] and (granted > 0 or tenantCorrected or accounts[2].s.folded) then store(tenantKey, accounts[2].s) end
return reply(call, DECIDED, pool, tenantWire() .. table.concat(outcomes))
