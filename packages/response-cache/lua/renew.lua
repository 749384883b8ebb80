-- The leader's heartbeat. A lease that ran out and that nobody took is taken up again.
-- Atomic, so that a leader that was paused cannot touch its successor's lease.
-- KEYS: lease, waiters, outcome
-- ARGV: token, leaseMs, progress
--       progress is for those who wait, until the next heartbeat; '' for none
-- RETURNS: {owned, interest}: 1 or 0, and how many wait in the fleet
local leaseKey, waitersKey, outcomeKey = KEYS[1], KEYS[2], KEYS[3]
local token, leaseMs, progress = ARGV[1], ARGV[2], ARGV[3]

local owner = redis.call('GET', leaseKey)
if owner and owner ~= token then
  return { 0, 0 }
end
redis.call('SET', leaseKey, token, 'PX', leaseMs)
if progress == '' then
  redis.call('HDEL', outcomeKey, 'progress ' .. token)
else
  redis.call('HSET', outcomeKey, 'progress ' .. token, progress)
  if redis.call('PTTL', outcomeKey) < tonumber(leaseMs) then
    redis.call('PEXPIRE', outcomeKey, leaseMs)
  end
end

local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
return { 1, redis.call('ZCOUNT', waitersKey, nowMs, '+inf') }
