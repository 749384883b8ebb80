-- The leader's heartbeat. A lease that ran out and that nobody took is taken up again.
-- Atomic, so that a leader that was paused cannot touch its successor's lease.
-- KEYS: lease, waiters
-- ARGV: token, leaseMs
-- RETURNS: {owned, interest}: 1 or 0, and how many wait in the fleet
local leaseKey, waitersKey = KEYS[1], KEYS[2]
local token, leaseMs = ARGV[1], ARGV[2]

local owner = redis.call('GET', leaseKey)
if owner and owner ~= token then
  return { 0, 0 }
end
redis.call('SET', leaseKey, token, 'PX', leaseMs)

local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
return { 1, redis.call('ZCOUNT', waitersKey, nowMs, '+inf') }
