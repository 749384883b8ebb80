-- usage.lua: how much of the pool is used now. Writes nothing.
-- KEYS[1] the pool's account
-- ARGV[1] number of the call
-- ARGV[2] length of the window in milliseconds
-- ARGV[3] ends of yesterday, today and tomorrow, 'a,b,c'
-- RETURNS the reply's head and the account as of now, then two doubles: the oldest bucket with requests and the oldest
-- with tokens, 0 when there is none
-- Atomic, because the sums and the oldest buckets must belong together.

local account = KEYS[1]
local call, windowMs, ends = ARGV[1], tonumber(ARGV[2]), dayEnds(ARGV[3])

local s = load(account) or create(windowMs)
local raw = cells(account, s[BUCKET] - SPAN, SPAN)
local before = s[BUCKET]
local curR, curT = s[CUR_R], s[CUR_T]
roll(account, s, windowMs, ends)

local oldestR, oldestT = 0, 0
for at = SPAN, 0, -1 do
  local bucket, r, t = before - SPAN + at, curR, curT
  if at < SPAN then r, t = struct.unpack('<dd', raw, at * 16 + 1) end
  if bucket >= s[BUCKET] - SPAN and not s.wipe then
    if r > 0 then oldestR = bucket end
    if t > 0 then oldestT = bucket end
  end
end
if s.wipe and s[SUM_R] > 0 then oldestR = s[BUCKET] end
if s.wipe and s[SUM_T] > 0 then oldestT = s[BUCKET] end
return reply(call, DECIDED, s, struct.pack('<dd', oldestR, oldestT))
