-- client-budget.lua: takes a part of the quota for one client, unless it is more than its share. The rules are in
-- src/client-budget.ts, in the same words.
-- KEYS[1] who asked last, KEYS[2] use of the day, KEYS[3..] use by bucket of the window, oldest first; one hash tag for all
-- ARGV[1] now, ARGV[2] length of a bucket, ARGV[3] end of the day, all in milliseconds
-- ARGV[4] client, ARGV[5] its address if it is anonymous, else empty, ARGV[6] '1' when it has limits of its own
-- ARGV[7] requests, ARGV[8] tokens; negative: gives them back
-- ARGV[9..12] limits: requests and tokens of the window, requests and tokens of the day
-- ARGV[13] share of the day that one client may use; ARGV[14] '1' for a call in line: only that share applies
-- RETURNS 0 when taken, else the milliseconds until it could be taken if nobody else asked
-- Atomic, because two calls of one client must not both take the last of its share.

local now, bucketMs, dayEndMs = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local client, address, hasOwnLimits = ARGV[4], ARGV[5], ARGV[6] == '1'
local amount = { tonumber(ARGV[7]), tonumber(ARGV[8]) }
local limits = { { tonumber(ARGV[9]), tonumber(ARGV[10]) }, { tonumber(ARGV[11]), tonumber(ARGV[12]) } }
local dayShare, isInLine = tonumber(ARGV[13]), ARGV[14] == '1'
local count = #KEYS - 2
local newest = math.floor(now / bucketMs)
local windowMs = (count - 1) * bucketMs

local fields = { 'all:r', 'all:t', 'c:' .. client .. ':r', 'c:' .. client .. ':t' }
if address ~= '' then
  fields[5], fields[6] = 'a:' .. address .. ':r', 'a:' .. address .. ':t'
end

local function add(key, lifetimeMs)
  for n, field in ipairs(fields) do redis.call('HINCRBY', key, field, amount[2 - n % 2]) end
  redis.call('PEXPIRE', key, lifetimeMs)
end

if amount[1] < 0 then
  for _, key in ipairs({ KEYS[2], KEYS[#KEYS] }) do
    local lifetimeMs = redis.call('PTTL', key)
    if lifetimeMs > 0 then add(key, lifetimeMs) end
  end
  return 0
end

-- Until when others count as asking, and notes that this one asks.
local function ask(kind, name)
  local last = redis.call('HMGET', KEYS[1], kind .. '1', kind .. '1at', kind .. '2', kind .. '2at')
  local otherAt = last[1] ~= name and last[2] or last[4]
  if last[1] and last[1] ~= name then redis.call('HSET', KEYS[1], kind .. '2', last[1], kind .. '2at', last[2]) end
  redis.call('HSET', KEYS[1], kind .. '1', name, kind .. '1at', now)
  redis.call('PEXPIRE', KEYS[1], math.ceil(windowMs))
  return otherAt and tonumber(otherAt) + windowMs or 0
end
local othersUntil = ask('c', client)
local elsewhereUntil = ask('a', address ~= '' and address or client)

local function read(key)
  local use = redis.call('HMGET', key, unpack(fields))
  for n = 1, 6 do use[n] = tonumber(use[n]) or 0 end
  return use
end
local day, buckets = read(KEYS[2]), {}
for n = 1, count do buckets[n] = read(KEYS[n + 2]) end

local function usedAt(time)
  local used = { { 0, 0, 0, 0, 0, 0 }, time < dayEndMs and day or { 0, 0, 0, 0, 0, 0 } }
  for n = 1, count do
    if time < (newest + n) * bucketMs then
      for at = 1, 6 do used[1][at] = used[1][at] + buckets[n][at] end
    end
  end
  return used
end

-- One request passes where nothing was used in the window, or the last of what is free would be out of everybody's reach.
local function fits(used, at, part)
  if used[1][at] == 0 and amount[1] == 1 then return true end
  for period = 1, 2 do
    for unit = 1, 2 do
      local mine = used[period][at + unit - 1]
      local free = limits[period][unit] - (used[period][unit] - mine)
      if mine + amount[unit] > math.floor(part * free) then return false end
    end
  end
  return true
end

local function mayTake(time)
  local used = usedAt(time)
  for unit = 1, 2 do
    if used[2][2 + unit] + amount[unit] > math.max(1, math.floor(dayShare * limits[2][unit])) then return false end
  end
  if isInLine then return true end
  if time < othersUntil and not fits(used, 3, 0.5) then return false end
  return address == '' or time >= elsewhereUntil or fits(used, 5, 0.75)
end

if not hasOwnLimits then
  local times = { now, dayEndMs, othersUntil, elsewhereUntil }
  for n = 1, count do times[4 + n] = (newest + n) * bucketMs end
  table.sort(times)
  local waitMs = dayEndMs - now
  for _, time in ipairs(times) do
    if time >= now and mayTake(time) then
      waitMs = time - now
      break
    end
  end
  if waitMs > 0 then return math.ceil(waitMs) end
end
add(KEYS[2], math.ceil(dayEndMs - now) + 3600000)
add(KEYS[#KEYS], math.ceil(windowMs + 2 * bucketMs))
return 0
