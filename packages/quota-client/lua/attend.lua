-- attend.lua: an instance says that it is there, and hears how many are, how many of them go without, and the state.
-- KEYS[1] the pool's account
-- KEYS[2] the instances heard of lately
-- KEYS[3] the instances that go without 'hungry at, use lately' by name
-- ARGV[1] number of the call
-- ARGV[2] name of the instance
-- ARGV[3] the epoch it knows
-- ARGV[4] the number of writes it has seen in that epoch
-- ARGV[5] after how many milliseconds of silence an instance is gone
-- ARGV[6] after how many milliseconds it no longer goes without
-- ARGV[7] what it was granted lately, when it was refused since it was last heard, else empty
-- ARGV[8] Redis's time when the caller said so, as far as it knows, 0 when it does not: what waited in a Redis that hung and is
-- carried out after it must not pass for a sign of life since
-- RETURNS the reply's head and the pool's account
-- Atomic, because the counts in the account must be those of the registers.

local account, instances, hungry = KEYS[1], KEYS[2], KEYS[3]
local call, id, epoch, seen = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local goneAfter, hungryFor, use, saidAt = tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7], tonumber(ARGV[8])

local s = load(account)
if mustReport(s, epoch, seen) then return reply(call, REPORT_FIRST, s) end
if saidAt > 0 and NOW - saidAt > hungryFor then return reply(call, DECIDED, s) end
redis.call('ZADD', instances, saidAt > 0 and min(NOW, saidAt) or NOW, id)
redis.call('PEXPIRE', instances, 86400000)
redis.call('ZREMRANGEBYSCORE', instances, '-inf', NOW - goneAfter)
if use ~= '' then
  redis.call('HSET', hungry, id, struct.pack('<dd', NOW, use))
  redis.call('PEXPIRE', hungry, 86400000)
end

local count, total = 0, 0
if use ~= '' or s[HUNGRY] > 0 then
  local all = redis.call('HGETALL', hungry)
  for at = 1, #all, 2 do
    local since, used = struct.unpack('<dd', all[at + 1])
    if NOW - since > hungryFor then redis.call('HDEL', hungry, all[at])
    else count, total = count + 1, total + used end
  end
end

local before = { s[INSTANCES], s[HUNGRY], s[HUNGRY_USE], s[PHASE_ENDS] }
s[INSTANCES], s[HUNGRY], s[HUNGRY_USE] = redis.call('ZCARD', instances), count, total
if s[PHASE_ENDS] > 0 then
  -- Those that newcomers only assume are not there.
  if s[EPOCH] ~= s[BIRTH] then s[INSTANCES] = max(s[INSTANCES], s[PHASE_INSTANCES]) end
  if NOW >= s[PHASE_ENDS] then s[PHASE_ENDS] = 0 end
end
if s[INSTANCES] ~= before[1] or count ~= before[2] or total ~= before[3] or s[PHASE_ENDS] ~= before[4] then
  store(account, s)
end
return reply(call, DECIDED, s)
