-- The end of a production: store the value, give up the lease, leave word for those who wait and tell them.
-- Atomic, so that nobody finds the lease free before there is an answer, and only its owner (or, when it ran out
-- untaken, the one who had it) ends it.
-- KEYS: value, lease, waiters, outcome
-- ARGV: token, value, valueMs, outcome, outcomeMs, channel, message
--       value '' stores nothing; outcome '' asks first whether anybody wants it
-- RETURNS: 'done', 'lost' (another leads: nothing was written), 'wanted' (somebody waits: come again with the outcome)
local valueKey, leaseKey, waitersKey, outcomeKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, value, valueMs, outcome, outcomeMs = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local channel, message = ARGV[6], ARGV[7]

local owner = redis.call('GET', leaseKey)
if owner and owner ~= token then
  return 'lost'
end

local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
local isAwaited = redis.call('ZCOUNT', waitersKey, nowMs, '+inf') > 0
if isAwaited then
  if outcome == '' then
    return 'wanted'
  end
  redis.call('DEL', outcomeKey)
  redis.call('HSET', outcomeKey, 'token', token, 'text', outcome)
  redis.call('PEXPIRE', outcomeKey, outcomeMs)
end

if value ~= '' then
  redis.call('SET', valueKey, value, 'PX', valueMs)
end
redis.call('DEL', leaseKey)
-- Nobody else has to know, and a message would wake every instance.
if isAwaited then
  redis.call('PUBLISH', channel, message)
end
return 'done'
