-- pause.lua: the provider said stop: nobody reserves until it ends. The later end counts.
-- KEYS[1] the pool's account
-- ARGV[1] number of the call
-- ARGV[2] length of the window in milliseconds
-- ARGV[3] ends of yesterday, today and tomorrow, 'a,b,c'
-- ARGV[4] kind of the pause: 1 to 4 for rpm, rpd, tpm, tpd, 5 for upstream
-- ARGV[5] end of the pause in milliseconds since the epoch, 0 when the provider named none
-- RETURNS the reply's head and the account
-- Atomic, because of two pauses the longer one must win, and two refusals of one volley must shrink the limits once.

local account = KEYS[1]
local call, windowMs, ends = ARGV[1], tonumber(ARGV[2]), dayEnds(ARGV[3])
local kind, untilMs = tonumber(ARGV[4]), tonumber(ARGV[5])
local RPD, TPD, RECOVERY_MS = 2, 4, 25 * windowMs -- a whole limit comes back in 25 windows, a fifth in five

local s = load(account)
if not s then return reply(call, REPORT_FIRST) end -- the report carries the pause
roll(account, s, windowMs, ends)
if untilMs == 0 and (kind == RPD or kind == TPD) then
  untilMs = s[DAY_END]
elseif untilMs == 0 then
  untilMs = NOW + windowMs / 12
  local age = max(0, NOW - s[SHRINK_SINCE])
  if s[SHRINK_FACTOR] == 1 or age >= windowMs / 6 then
    s[SHRINK_FACTOR] = max(0.2, min(1, s[SHRINK_FACTOR] + age / RECOVERY_MS) * 0.8)
    s[SHRINK_SINCE] = NOW
  end
end
if untilMs > s[PAUSE_UNTIL] then s[PAUSE_UNTIL], s[PAUSE_KIND] = untilMs, kind end
store(account, s)
return reply(call, DECIDED, s)
