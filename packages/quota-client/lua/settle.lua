-- settle.lua: corrects earlier charges of one account: refunds of what was not used, charges for overruns.
-- KEYS[1] the account
-- KEYS[2] the pool's register of refunds taken once
-- ARGV[1] number of the call
-- ARGV[2] the epoch the caller knows
-- ARGV[3] length of the window in milliseconds
-- ARGV[4] ends of yesterday, today and tomorrow, 'a,b,c'
-- ARGV[5] corrections
-- ARGV[6] name of the caller when its connection may resend, else empty
-- ARGV[7] number of these corrections
-- RETURNS the reply's head and the account
-- Atomic, because a refund and the sums it changes must never be seen apart.

local account, once = KEYS[1], KEYS[2]
local call, epoch, windowMs, ends = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), dayEnds(ARGV[4])
local corrections, id, number = ARGV[5], ARGV[6], tonumber(ARGV[7])

local s = load(account)
if not s or s[EPOCH] ~= epoch then return reply(call, REPORT_FIRST, s) end
roll(account, s, windowMs, ends)
adjustAll(account, s, corrections, leastCorrection(once, id, number))
store(account, s)
return reply(call, DECIDED, s)
