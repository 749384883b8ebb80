-- quota.lua: the only script. A call decides the reservations of one turn of one instance's event loop, each as if it had come
-- alone, and carries what the instance has to say beside them: adjustments, a heartbeat, a pause, what it knows of the day.
-- RETURNS doubles: the call, Redis's time in milliseconds, the status, the pool's fields, with a tenant its fields, then for
--         'usage' the oldest bucket with requests and with tokens (0: none), the lengths of the lines and in how many
--         milliseconds a call of one request would start from the end of each; for each run, unless the pool is held, how many
--         were granted, why the others were not (1 to 4 the pool's rpm, rpd, tpm, tpd; 5 to 8 the tenant's; 9 a pause) and for
--         how many milliseconds; for each named ticket what `answer` of line.lua returns; the number, requests and tokens of
--         each ticket that was granted
-- Atomic, because what is free must not change between looking and taking. All writes are at the end and the hash is the first
-- of them, so that a Redis that refuses writes leaves nothing half done; only a state of another layout is deleted before.

local pool = load('pool')
local writes, obsolete = {}, {}

local function write(field, value)
  writes[#writes + 1] = field
  writes[#writes + 1] = value
end

-- Starts a new incarnation, in which nothing is granted until all that may have been granted before has left every window.
-- After a restart the state may be behind: what may have been used unseen since its last write counts for the day.
local function hold(cause, ringMs)
  local before = pool
  pool = create('pool')
  if before then
    for field = KEPT_FIRST, FIELDS do pool[field] = before[field] end
    local unseen = cause == RESTART and floor(max(0, TIME_MS - before[LAST]) / before[RING_MS]) + 1 or 0
    pool[BASE_R] = before[BASE_R] + before[DAY_R] + unseen * max(before[RPM], limits[1])
    pool[BASE_T] = before[BASE_T] + before[DAY_T] + unseen * max(before[TPM], limits[3])
    pool[GAPS], pool[STATED] = before[GAPS] + unseen, cause == RESTART and 0 or 1
  end
  pool[LAYOUT], pool[CAUSE], pool[RING_MS], pool[LAST], pool.run = LAYOUT_VERSION, cause, ringMs, TIME_MS, run
  pool[INCARNATION] = max(TIME_US, known + 1, before and before[INCARNATION] + 1 or 0)
  pool[OPEN] = TIME_MS + ringMs * 1.03 + ringMs / SPAN
  pool.ringChanged, pool.changed = true, true
end

if not pool then
  hold(EMPTY, ownRing)
  if mayOpen == 1 and known == 0 then pool[OPEN] = TIME_MS end
elseif pool[LAYOUT] ~= LAYOUT_VERSION then
  redis.call('DEL', KEY)
  pool = nil
  hold(CONFIGURATION, ownRing)
elseif pool.run ~= run or pool[INCARNATION] < known or (pool[INCARNATION] == known and pool[SEQ] < seen) then
  hold(RESTART, pool[RING_MS])
elseif pool[INCARNATION] == doubted or TIME_MS < pool[LAST] - pool[RING_MS] / SPAN then hold(CLOCK, pool[RING_MS]) end

local list = (kind == 'heartbeat' or kind == 'leave' or adjustments ~= '' or tenantAdjustments ~= '')
  and redis.call('HGET', KEY, 'members') or ''
local isListed = string.find(list, pack('<d', member), 1, true) ~= nil

-- Members that were heard within a ring's length decide by the smallest limits, the longest window and transit.
if kind == 'heartbeat' or kind == 'leave' then
  local longestWindow, longestTransit, others, least, kept = 0, 0, 0, { UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED }, {}
  local function keep(id, at, itsWindow, itsTransit, ...)
    kept[#kept + 1] = pack(MEMBER, id, at, itsWindow, itsTransit, ...)
    longestWindow, longestTransit = max(longestWindow, itsWindow), max(longestTransit, itsTransit)
    for field = 1, 4 do least[field] = min(least[field], (select(field, ...))) end
  end
  for at = 1, #list, MEMBER_BYTES do
    local id, heard, itsWindow, itsTransit, rpm, rpd, tpm, tpd = read(MEMBER, list, at)
    if id ~= tonumber(member) then others = others + 1 end
    local isHere = id ~= tonumber(member) and TIME_MS - heard <= pool[RING_MS]
    if isHere then keep(id, min(heard, TIME_MS), itsWindow, itsTransit, rpm, rpd, tpm, tpd)
    elseif id ~= tonumber(member) or kind == 'leave' then obsolete[#obsolete + 1] = string.format('call %.0f', id) end
  end
  if kind == 'heartbeat' then keep(tonumber(member), TIME_MS, window, transit, unpack(limits)) end
  if #kept == 0 then least = { 0, 0, 0, 0 } end
  write('members', table.concat(kept))
  local ring = longestWindow + longestTransit
  if #kept > 0 and ring ~= pool[RING_MS] then hold(CONFIGURATION, ring) end
  pool[OTHERS], pool[MEMBERS], pool[RPM], pool[RPD], pool[TPM], pool[TPD] = others, #kept, unpack(least)
  pool.changed = true
elseif isMember and ownRing > pool[RING_MS] then
  hold(CONFIGURATION, ownRing)
end
NOW, RING_LENGTH = max(TIME_MS, pool[LAST]), pool[RING_MS]
roll(pool, ends)

local same = known == pool[INCARNATION]
local mayTake = same
if adjustments ~= '' or tenantAdjustments ~= '' then
  -- A duplicate of a call, one that was overtaken, or one of a member that has left takes nothing back.
  local isNew = tonumber(call) > tonumber(redis.call('HGET', KEY, 'call ' .. member) or 0)
  mayTake = same and isListed and isNew
  if isNew then write('call ' .. member, call) end -- an older one would let the duplicates of newer ones in again
  adjustAll(pool, adjustments, same, mayTake)
end

local function limitsInForce(list, inForce)
  local least = {}
  for at = 1, 4 do least[at] = inForce[at] > 0 and min(list[at], inForce[at]) or list[at] end
  return least
end
pool.limits = limitsInForce(limits, { pool[RPM], pool[RPD], pool[TPM], pool[TPD] })
pool.factor = min(1, pool[SHRINK_FACTOR] + max(0, NOW - pool[SHRINK_SINCE]) / (RECOVERY_WINDOWS * RING_LENGTH))

-- A tenant's account belongs to an incarnation of the pool: in a new one its ring begins empty, as the pool's.
local function tenantAccount(id, inForce)
  local a = load('tenant ' .. id) or create('tenant ' .. id)
  if a[INCARNATION] ~= pool[INCARNATION] then
    local unseen = a[INCARNATION] > 0 and pool[GAPS] - a[GAPS] or 0
    a[BASE_R] = a[BASE_R] + a[DAY_R] + unseen * min(inForce[1], pool.limits[1])
    a[BASE_T] = a[BASE_T] + a[DAY_T] + unseen * min(inForce[3], pool.limits[3])
    a[STATED] = a[INCARNATION] > 0 and unseen == 0 and 1 or 0
    a[DAY_R], a[DAY_T], a[SUM_R], a[SUM_T], a[CUR_R], a[CUR_T], a[BUCKET] = 0, 0, 0, 0, 0, 0, 0
    a[INCARNATION], a[GAPS] = pool[INCARNATION], pool[GAPS]
    setRing(a, '')
  end
  roll(a, ends)
  a.limits, a.factor = inForce, 1
  return a
end

local accounts = { pool }
local function store(a)
  if a.ringChanged then write('ring ' .. a.name, a.ring) end
  a.wire = wire(a)
  if a.changed then write(a.name, a.wire .. (a.run or '')) end
end

if tenantId ~= '' then
  accounts[2] = tenantAccount(tenantId, numbers(tenantLimits))
  adjustAll(accounts[2], tenantAdjustments, same, mayTake)
end

-- The least upper bound that a member states counts; the first one replaces what the state itself could only guess.
if knowledge ~= '' and same then
  for _, k in ipairs(cjson.decode(knowledge)) do
    local isPool, isOwn = k[1] == '', k[1] == tenantId
    local a = isPool and pool or isOwn and accounts[2] or tenantAccount(k[1], { UNLIMITED, UNLIMITED, UNLIMITED, UNLIMITED })
    if k[2] == a[DAY_END] then
      a[BASE_R] = a[STATED] == 1 and min(a[BASE_R], k[3]) or k[3]
      a[BASE_T] = a[STATED] == 1 and min(a[BASE_T], k[4]) or k[4]
      a[STATED], a.changed = 1, true
    end
    if not isPool and not isOwn then store(a) end
  end
end

if pause ~= '' then
  local reason, untilMs = string.match(pause, '^(%d+),(.+)$')
  reason, untilMs = tonumber(reason), tonumber(untilMs)
  if untilMs == 0 and (reason == 2 or reason == 4) then untilMs = pool[DAY_END]
  elseif untilMs == 0 then
    untilMs = NOW + RING_LENGTH / 12
    if pool.factor == 1 or NOW - pool[SHRINK_SINCE] >= RING_LENGTH / 6 then
      pool[SHRINK_FACTOR], pool[SHRINK_SINCE] = max(0.2, pool.factor * 0.8), NOW
    end
  end
  if untilMs > pool[PAUSE_UNTIL] then pool[PAUSE_UNTIL], pool[PAUSE_KIND] = untilMs, reason end
  pool.changed = true
end

local isOpen, outcomes = NOW >= pool[OPEN], {}
local lines, owners
if lineText ~= '' or kind == 'usage' or redis.call('EXISTS', KEYS[2], KEYS[3]) > 0 then
  local claim = lineText ~= '' and cjson.decode(lineText) or { most = 0, gone = {}, named = {} }
  claim.owner, claim.margin = tonumber(member), margin
  lines = openLines(claim, pool)
  if isOpen and NOW >= pool[PAUSE_UNTIL] then
    owners = openOwners(claim, list ~= '' and list or redis.call('HGET', KEY, 'members') or '')
    advance(lines, accounts, owners)
  end
end
if isOpen then
  for count, r, t, batch in string.gmatch(runs, '(%d+),(%d+),(%d+),(%d);') do
    count, r, t, batch = tonumber(count), tonumber(r), tonumber(t), batch == '1'
    local take, c = pool[PAUSE_UNTIL] > NOW and 0 or count, {}
    local line = batch and 2 or 1
    if lines and isBehind(lines, line) then take = 0 end
    for at, a in ipairs(accounts) do
      c[at] = ceilings(a, batch, margin)
      take = fits(a, c[at], r, t, take)
    end
    if take > 0 then
      for _, a in ipairs(accounts) do charge(a, take * r, take * t) end
    end
    local why, wait = 0, 0
    if take < count then
      if pool[PAUSE_UNTIL] > NOW then why, wait = PAUSED, ceil(pool[PAUSE_UNTIL] - NOW) + 1 end
      for at, a in ipairs(accounts) do
        local limit, limitWait = shortage(a, c[at], r, t, 0)
        if limitWait > wait then why, wait = limit + (at - 1) * 4, limitWait end
      end
      if lines and lines[line].length > 0 then
        local lineWait, limit = startOf(lines, line, lines[line].length, { r = r, t = t })
        if lineWait > wait or why == 0 then why, wait = max(1, limit), max(1, lineWait) end
      end
    end
    outcomes[#outcomes + 1] = pack('<ddd', take, why, wait)
  end
end
if lines then
  for _, named in ipairs(lines.claim.named) do outcomes[#outcomes + 1] = pack('<ddd', answer(lines, accounts, isOpen, named)) end
  for _, ticket in ipairs(lines.granted) do outcomes[#outcomes + 1] = pack('<ddd', ticket.number, ticket.r, ticket.t) end
  local turns = isMember and owners and owners.change()
  if turns then write('turns', turns) end
  local hasMoved = #lines.granted + #lines[1].left + #lines[2].left + #lines[1].joined + #lines[2].joined > 0
  pool.changed = pool.changed or turns or hasMoved
  if lineText ~= '' and hasMoved then write('call ' .. member, call) end
end

-- Tenants whose day and ring have both ended are forgotten by the first call of a new day.
local function forgetIdleTenants()
  for _, name in ipairs(redis.call('HKEYS', KEY)) do
    local a = string.sub(name, 1, 7) == 'tenant ' and load(name)
    if a and a[DAY_END] <= NOW and pool[BUCKET] - a[BUCKET] > SPAN then
      obsolete[#obsolete + 1] = name
      obsolete[#obsolete + 1] = 'ring ' .. name
    end
  end
end

for _, a in ipairs(accounts) do pool.changed = pool.changed or a.changed end
if pool.changed then
  pool[SEQ], pool[LAST] = pool[SEQ] + 1, NOW
  for _, a in ipairs(accounts) do store(a) end
  redis.call('HSET', KEY, unpack(writes))
  if lines then closeLines(lines) end
  if pool.newDay then
    redis.call('PEXPIREAT', KEY, ceil(pool[DAY_END]) + DAY_MS)
    forgetIdleTenants()
  end
  if #obsolete > 0 then redis.call('HDEL', KEY, unpack(obsolete, 1, min(#obsolete, 4000))) end
end

local oldest = ''
if kind == 'usage' then
  local first = { pool[CUR_R] > 0 and pool[BUCKET] or 0, pool[CUR_T] > 0 and pool[BUCKET] or 0 }
  local ring = ringOf(pool)
  for at = #ring - ENTRY_BYTES + 1, 1, -ENTRY_BYTES do
    local bucket, r, t = read(ENTRY, ring, at)
    if r > 0 then first[1] = bucket end
    if t > 0 then first[2] = bucket end
  end
  oldest = pack('<dddddd', first[1], first[2], lines[1].length, lines[2].length,
    startOf(lines, 1, lines[1].length, { r = 1, t = 0 }), (startOf(lines, 2, lines[2].length, { r = 1, t = 0 })))
end
local function shown(a) return a and (a.wire or wire(a)) or '' end
return pack('<ddd', call, TIME_MS, isOpen and DECIDED or HOLD) .. shown(pool) .. shown(accounts[2]) .. oldest
  .. table.concat(outcomes)
