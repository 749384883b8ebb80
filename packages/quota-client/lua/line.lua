-- line.lua: the two waiting lines, interactive (1) and batch (2). Read after account.lua and before call.lua.
-- A line is a sorted set. A member of it is one ticket, 'arrived:owner:number:requests:tokens:group:client': when it came, in 13
-- digits of milliseconds; the instance that holds it, its number there, in 10 digits, and for which of that instance's tenants
-- it is. The score is the ticket's round: each ticket of a client is a round later than the client's one before it, so that
-- clients take turns; within a round the first to come is the first to start.
-- KEYS[2] the interactive line, KEYS[3] the batch line, KEYS[4] the last round of each client that waits
-- Nothing here is needed for the limits: a line that is lost is joined again by the instances that hold its tickets.

local LINES, ROUNDS = { KEYS[2], KEYS[3] }, KEYS[4]
local CHUNK, LONGEST_WALK = 50, 500
local BATCH_EVERY = 20 -- so that batch calls do not starve, one start in so many is theirs

-- `rank`: how many stand before it, those that leave included.
local function leave(line, text, rank)
  if line.hasLeft[rank] then return end
  line.left[#line.left + 1], line.ranks[#line.ranks + 1], line.hasLeft[rank] = text, rank, true
  line.length = line.length - 1
end

local function stayBefore(line, rank)
  local stay = rank
  for _, left in ipairs(line.ranks) do
    if left < rank then stay = stay - 1 end
  end
  return stay
end

-- `claim`: what the call says about its tickets (see call.lua), and the caller's id as `owner`.
local function openLines(claim, pool)
  local lines = { claim = claim, pool = pool, ceilings = ceilings(pool, false, 1), granted = {}, isGranted = {} }
  for at = 1, 2 do
    local length = redis.call('ZCARD', LINES[at])
    lines[at] = { length = length, blocked = length > 0, left = {}, ranks = {}, hasLeft = {}, joined = {} }
    -- An empty line takes over the round of the other, so that the rounds of both can be forgotten.
    if length == 0 then pool[ROUND + at - 1] = max(pool[ROUND], pool[ROUND + 1]) end
  end
  for _, gone in ipairs(claim.gone) do
    local text, at = gone[1], gone[2]
    claim.gone[text] = true
    local rank = redis.call('ZRANK', LINES[at], text)
    if rank then leave(lines[at], text, rank) end
  end
  return lines
end

local function ticketOf(text, round, rank)
  local owner, number, r, t, group, client = string.match(text, '^%d+:(%d+):(%d+):(%d+):(%d+):(%d+):(.*)$')
  return { text = text, round = tonumber(round), rank = rank, owner = tonumber(owner), number = tonumber(number), r = tonumber(r),
    t = tonumber(t), group = tonumber(group), client = client }
end

-- The tickets of a line in their order, one by one.
local function tickets(at)
  local list, from, index = {}, 0, 1
  return function()
    if index > #list then
      list, from, index = redis.call('ZRANGE', LINES[at], from, from + CHUNK - 1, 'WITHSCORES'), from + CHUNK, 1
    end
    index = index + 2
    return list[index - 2] and ticketOf(list[index - 2], list[index - 1], from - CHUNK + (index - 3) / 2)
  end
end

-- Batch calls in line draw on a credit, so that they spread over the ring's length and interactive calls that come meanwhile
-- find room. It holds one call, or what a sixtieth of a cycle brings when that is more.
local function creditOf(lines)
  local rpm = lines.ceilings.rpm
  local most = max(1, rpm / 60)
  return min(most, lines.pool[CREDIT] + max(0, NOW - lines.pool[CREDIT_AT]) * rpm / cycle()), most
end

local function grant(lines, accounts, ticket)
  for _, a in ipairs(accounts) do charge(a, ticket.r, ticket.t) end
  lines.claim.most = lines.claim.most - 1
  lines.granted[#lines.granted + 1] = ticket
  lines.isGranted[ticket.number] = true
end

-- Whether the others claim their turns: the field `turns` has three doubles each, an instance, its group, since when it has a turn.
-- A heartbeat claims nothing: after a rollback a line may hold tickets of which their instance knows nothing any more.
local function openOwners(claim, members)
  local owners, since, text = {}, {}, redis.call('HGET', KEY, 'turns') or ''
  local function nameOf(owner, group) return pack('<dd', owner, group) end
  for at = 1, #text, 24 do
    local owner, group, ms = read('<ddd', text, at)
    local isClaimed = owner == claim.owner and group == claim.group
    if not isClaimed and NOW - ms <= RING_LENGTH then since[nameOf(owner, group)] = ms end
  end
  function owners.absence(ticket)
    local at = string.find(members, pack('<d', ticket.owner), 1, true)
    local waited = NOW - (since[nameOf(ticket.owner, ticket.group)] or NOW)
    local silence = at and NOW - read('<d', members, at + 8) or RING_LENGTH
    if max(silence, waited) > RING_LENGTH / 20 then return 'silent' end
    return waited > RING_LENGTH / 40 and 'late'
  end
  function owners.hasTurn(ticket)
    local name = nameOf(ticket.owner, ticket.group)
    since[name] = since[name] or NOW
  end
  -- The field's new text, if it has changed.
  function owners.change() -- the field's new text, if it has changed
    local now = ''
    for name, ms in pairs(since) do now = now .. name .. pack('<d', ms) end
    return now ~= text and now
  end
  return owners
end

-- Grants the caller's tickets whose turn it is. Other tickets keep their room until their instance has had 1.5 sixtieths of a
-- ring's length to claim it; they are dropped when it has not for three, or is silent for as long.
local function advance(lines, accounts, owners)
  local pool, claim, steps = lines.pool, lines.claim, 0
  local sinceBatch = pool[SINCE_BATCH] -- as if those whose room is kept had started
  local credit, mostCredit = creditOf(lines)
  local nextOf = { tickets(1), tickets(2) }
  local head = { nextOf[1](), nextOf[2]() }
  while head[1] or head[2] do
    local isTurnOfBatch = head[2] and sinceBatch >= BATCH_EVERY - 1 and credit >= min(head[2].r, mostCredit)
    local at = (isTurnOfBatch or not head[1]) and 2 or 1
    local ticket, line = head[at], lines[at]
    local isMine = ticket.owner == claim.owner and ticket.group == claim.group
    local skip = claim.gone[ticket.text] and 'gone' or not isMine and owners.absence(ticket)
    if skip then
      if skip == 'silent' then leave(line, ticket.text, ticket.rank) end
      steps = steps + 1
      if steps > LONGEST_WALK then return end
    else
      local hasRoom = fits(pool, lines.ceilings, ticket.r, ticket.t, 1) > 0
      if not hasRoom or (at == 2 and credit < min(ticket.r, mostCredit)) or (isMine and claim.most == 0) then return end
      if not isMine then
        pool.reservedR, pool.reservedT = pool.reservedR + ticket.r, pool.reservedT + ticket.t
        owners.hasTurn(ticket)
        sinceBatch = at == 2 and 0 or sinceBatch + 1
      else
        leave(line, ticket.text, ticket.rank)
        -- One that its own tenant's limit blocks leaves too: its instance lets it join again, in its place, when that has room.
        if not accounts[2] or fits(accounts[2], ceilings(accounts[2], false, 1), ticket.r, ticket.t, 1) > 0 then
          grant(lines, accounts, ticket)
          pool[SINCE_BATCH] = at == 2 and 0 or pool[SINCE_BATCH] + 1
          sinceBatch = at == 2 and 0 or sinceBatch + 1
          pool[ROUND + at - 1] = max(pool[ROUND + at - 1], ticket.round)
        end
      end
      if at == 2 then
        credit = credit - ticket.r
        if isMine then pool[CREDIT], pool[CREDIT_AT] = credit, NOW end
      end
    end
    head[at] = nextOf[at]()
    line.blocked = head[at] ~= nil
  end
end

-- How many starts come before that of a call with `rank` calls of its line before it.
local function startsBefore(lines, at, rank)
  if at == 2 then return lines[1].length + rank end
  local since = min(lines.pool[SINCE_BATCH], BATCH_EVERY - 1)
  return rank + min(lines[2].length, floor((rank + since) / (BATCH_EVERY - 1)))
end

-- In how many milliseconds such a call will start, which limit (1 to 4) or pause makes it wait, and how many start before it.
-- Takes the calls before it for as large as itself.
local function startOf(lines, at, rank, ticket)
  local pool, before = lines.pool, startsBefore(lines, at, rank)
  local why, wait = shortage(pool, lines.ceilings, ticket.r, ticket.t, before)
  if at == 2 then wait = max(wait, (rank + 1 - creditOf(lines)) * cycle() / lines.ceilings.rpm) end
  if NOW < pool[OPEN] then wait = wait + pool[OPEN] - NOW end
  if NOW + wait < pool[PAUSE_UNTIL] then why, wait = PAUSED, pool[PAUSE_UNTIL] - NOW end
  return ceil(wait), why, before
end

-- Whether a call that does not wait would overtake one that does.
local function isBehind(lines, at)
  return lines[1].blocked or (at == 2 and lines[2].blocked)
end

local function join(lines, at, ticket)
  local line, name = lines[at], at .. ticket.client
  local last = line.joined[name] or tonumber(redis.call('ZSCORE', ROUNDS, name) or -1)
  ticket.round = max(lines.pool[ROUND + at - 1], ticket.client == '' and 0 or last + 1)
  local rank = stayBefore(line, redis.call('ZCOUNT', LINES[at], '-inf', ticket.round))
  for _, other in ipairs(line.joined) do
    if other.round <= ticket.round then rank = rank + 1 end
  end
  return rank, name
end

-- What becomes of one ticket that the caller names: granted (-1), in line (0), refused by a limit of the pool (1 to 4) or a
-- pause, blocked by a limit of its tenant (5 to 8); then the milliseconds to its start, and how many start before it.
local function answer(lines, accounts, isOpen, named)
  local at, maxWait, ticket = named[2], named[3], ticketOf(named[1])
  local pool, tenant, claim, line = lines.pool, accounts[2], lines.claim, lines[named[2]]
  if lines.isGranted[ticket.number] then return -1, 0, 0 end
  local rank = redis.call('ZRANK', LINES[at], ticket.text)
  if tenant then
    local limit, wait = shortage(tenant, ceilings(tenant, false, 1), ticket.r, ticket.t, 0)
    if limit > 0 then
      if rank then leave(line, ticket.text, rank) end
      return 4 + limit, wait, 0
    end
  end
  local mayStart = isOpen and NOW >= pool[PAUSE_UNTIL] and claim.most > 0 and not isBehind(lines, at)
  if not rank and mayStart then
    if fits(pool, ceilings(pool, at == 2, claim.margin), ticket.r, ticket.t, 1) > 0 then
      grant(lines, accounts, ticket)
      return -1, 0, 0
    end
  end
  local before, name
  if rank then before = stayBefore(line, rank) else before, name = join(lines, at, ticket) end
  local wait, why
  wait, why, before = startOf(lines, at, before, ticket)
  local isFull = name and lines[1].length + lines[2].length >= claim.longest * (at == 2 and 0.9 or 1)
  if wait > maxWait or isFull then
    if not name then leave(line, ticket.text, rank) end
    return max(1, why), wait, before
  end
  if name then
    line.joined[#line.joined + 1], line.joined[name] = ticket, ticket.round
    line.length, line.blocked = line.length + 1, true
  end
  return 0, wait, before
end

-- Writes what has changed.
local function closeLines(lines)
  for at = 1, 2 do
    local line = lines[at]
    for from = 1, #line.left, 1000 do
      redis.call('ZREM', LINES[at], unpack(line.left, from, min(#line.left, from + 999)))
    end
    for _, ticket in ipairs(line.joined) do
      redis.call('ZADD', LINES[at], ticket.round, ticket.text)
      if ticket.client ~= '' then redis.call('ZADD', ROUNDS, ticket.round, at .. ticket.client) end
    end
    if #line.joined > 0 then
      redis.call('PEXPIRE', LINES[at], DAY_MS)
      redis.call('PEXPIRE', ROUNDS, DAY_MS)
    end
  end
  if redis.call('EXISTS', LINES[1], LINES[2]) == 0 then redis.call('DEL', ROUNDS)
  elseif #lines[1].left + #lines[2].left > 0 then
    redis.call('ZREMRANGEBYSCORE', ROUNDS, '-inf', '(' .. min(lines.pool[ROUND], lines.pool[ROUND + 1]))
  end
end
