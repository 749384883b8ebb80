-- One step towards an answer: take the lease, or learn who has it, or that there is something to read.
-- Atomic, so that among all who ask at once exactly one leads, and nobody leads after an answer they have not seen.
-- KEYS: value, lease, waiters, outcome
-- ARGV: token, leaseMs, seenHeader, awaitedToken, waiterMs
-- RETURNS: {'outcome', text} the production that was awaited is over
--          {'changed', value} the value is not the one whose header was seen ('' = none of ours); nil when it is large
--          {'lead', foreign} the lease is token's for leaseMs; foreign: 1 when a text that is not ours lies there
--          {'wait', owner, progress} owner leads, and has told progress; token counts as waiting for waiterMs
local valueKey, leaseKey, waitersKey, outcomeKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, leaseMs, seenHeader, awaitedToken, waiterMs = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if awaitedToken ~= '' and redis.call('HGET', outcomeKey, 'token') == awaitedToken then
  redis.call('ZREM', waitersKey, token)
  return { 'outcome', redis.call('HGET', outcomeKey, 'text') }
end

-- A foreign type or a foreign text counts as no value; codec.ts judges by the same pattern.
local pattern = '^ka2 ' .. string.rep('[%da-f-]', 36) .. ' ' .. string.rep('[%da-f]', 8) .. '\n$'
local header = redis.pcall('GETRANGE', valueKey, 0, 49)
local foreign = 0
if type(header) ~= 'string' then
  header = ''
elseif not string.match(header, pattern) then
  foreign = header == '' and 0 or 1
  header = ''
end
if header ~= seenHeader then
  -- A picture would be copied twice here, while Redis does nothing else.
  local isSmall = header ~= '' and redis.call('STRLEN', valueKey) <= 65536
  return { 'changed', isSmall and redis.call('GET', valueKey) }
end

-- A lease without an expiry is none of ours, and would never end.
local owner = redis.call('GET', leaseKey)
if not owner or owner == token or redis.call('PTTL', leaseKey) < 0 then
  redis.call('SET', leaseKey, token, 'PX', leaseMs)
  redis.call('ZREM', waitersKey, token)
  return { 'lead', foreign }
end

local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', waitersKey, '-inf', nowMs)
redis.call('ZADD', waitersKey, nowMs + waiterMs, token)
redis.call('PEXPIRE', waitersKey, waiterMs)
return { 'wait', owner, redis.call('HGET', outcomeKey, 'progress ' .. owner) or '' }
