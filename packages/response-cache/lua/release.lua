-- Stops waiting, and gives the lease up without an answer unless somebody else waits for one.
-- Atomic, so that nobody begins to wait between the count and the end of the lease.
-- KEYS: lease, waiters
-- ARGV: token, force, channel, message
--       force '1' gives it up whoever waits, and tells them, so that one of them leads at once
-- RETURNS: 1 when token does not lead any more, 0 when it goes on because somebody waits
local leaseKey, waitersKey = KEYS[1], KEYS[2]
local token, force, channel, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

redis.call('ZREM', waitersKey, token)
if redis.call('GET', leaseKey) ~= token then
  return 1
end

local time = redis.call('TIME')
local nowMs = time[1] * 1000 + math.floor(time[2] / 1000)
if force ~= '1' and redis.call('ZCOUNT', waitersKey, nowMs, '+inf') > 0 then
  return 0
end

redis.call('DEL', leaseKey)
redis.call('PUBLISH', channel, message)
return 1
