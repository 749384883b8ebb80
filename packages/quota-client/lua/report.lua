-- report.lua: an instance that could not reach the state, or finds it lost or restarted, posts what it used before it
-- takes part again. When others may have used the pool unseen as well, a phase opens in which every instance keeps to
-- its share until all of them have reported, or a window has passed.
-- KEYS[1] the pool's account
-- KEYS[2] the instances heard of lately
-- KEYS[3] the instances that have reported in this phase
-- ARGV[1] number of the call
-- ARGV[2] name of the instance
-- ARGV[3] length of the window in milliseconds
-- ARGV[4] ends of yesterday, today and tomorrow, 'a,b,c'
-- ARGV[5] the birth of the state that the instance knows, 0 when it knows none: a newcomer
-- ARGV[6] the epoch it knows
-- ARGV[7] the number of writes it has seen in that epoch
-- ARGV[8] Redis's time, in milliseconds, since which another instance must have been heard to show that Redis was there;
-- negative when that was settled by an earlier report
-- ARGV[9] number of instances it knows, itself among them
-- ARGV[10] the pool's day as it last saw it, 'dayEnd,requests,tokens'
-- ARGV[11] what it used in the state that it knows, as corrections of buckets, taken only when that state is lost
-- ARGV[12] what it used without Redis, as corrections
-- ARGV[13] end of the pause it knows
-- ARGV[14] kind of that pause
-- ARGV[15] Redis's time just before this was sent
-- ARGV[16] after how many milliseconds the caller has given up: what hung with Redis must not pass for a report made after it
-- ARGV[17] for how many milliseconds a state that a newcomer makes is held, so that those who knew another one report first
-- RETURNS the reply's head and the pool's account
-- Atomic, because use must be posted before anything is granted on top of it.

local account, instances, reported = KEYS[1], KEYS[2], KEYS[3]
local call, id, windowMs, ends = ARGV[1], ARGV[2], tonumber(ARGV[3]), dayEnds(ARGV[4])
local birth, epoch, seen, heardBy = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local known, lastDay, usedBefore, usedAlone = tonumber(ARGV[9]), ARGV[10], ARGV[11], ARGV[12]
local pauseUntil, pauseKind = tonumber(ARGV[13]), tonumber(ARGV[14])

if NOW - tonumber(ARGV[15]) > tonumber(ARGV[16]) then return redis.error_reply('LATE the caller has given up') end

local isNewcomer = birth == 0

local function openPhase(s, newcomers)
  s[EPOCH], s[PHASE_ENDS], s[PHASE_INSTANCES] = NOW_US + 1, NOW + windowMs, known + newcomers
  redis.call('DEL', reported)
end

-- A phase among newcomers only, in the first epoch. They know of nobody who used what was there before, nor that nobody did.
local function holdForOthers(s)
  s[PHASE_ENDS], s[PHASE_INSTANCES] = NOW + (usedAlone == '' and tonumber(ARGV[17]) or windowMs), known
  redis.call('DEL', reported)
end

-- Every grant was followed by a sight of the day at the instance that got it, so the highest sight is the day's true use.
local function restoreDay(s)
  local dayEnd, r, t = string.match(lastDay, '^(%d+),(%d+),(%d+)$')
  if tonumber(dayEnd) ~= s[DAY_END] then return end
  r, t = max(tonumber(r), s[RESTORED_R]), max(tonumber(t), s[RESTORED_T])
  s[DAY_R], s[DAY_T] = s[DAY_R] + r - s[RESTORED_R], s[DAY_T] + t - s[RESTORED_T]
  s[RESTORED_R], s[RESTORED_T] = r, t
end

local function nobodyElseWasHeard()
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', instances, heardBy, '+inf', 'LIMIT', 0, 2)) do
    if other ~= id then return false end
  end
  return true
end

-- An instance that knew no state has made this one where an older one was lost.
local function madeByANewcomer(s)
  return not isNewcomer and s[BIRTH] ~= birth and s[EPOCH] == s[BIRTH]
end

local s = load(account)
local behind = s and s[BIRTH] == birth and s[EPOCH] == epoch and s[SEQ] < seen
if not s or behind then
  local day = behind and { s[DAY_END], s[DAY_R], s[DAY_T] } or { 0, 0, 0 }
  s = create(windowMs)
  s.wipe, s.newDay = behind, true
  s[DAY_END], s[DAY_R], s[DAY_T], s[RESTORED_R], s[RESTORED_T] = day[1], day[2], day[3], day[2], day[3]
  if isNewcomer then holdForOthers(s) else openPhase(s, 0) end
elseif madeByANewcomer(s) then
  openPhase(s, redis.call('ZCARD', instances)) -- their reports stand for none of those that the caller knows
elseif s[EPOCH] == epoch and known > 1 and heardBy >= 0 and nobodyElseWasHeard() then
  openPhase(s, 0)
end

roll(account, s, windowMs, ends)
if s[BIRTH] ~= birth then
  adjustAll(account, s, usedBefore, 0)
  restoreDay(s)
end
adjustAll(account, s, usedAlone, 0)
if pauseUntil > s[PAUSE_UNTIL] then s[PAUSE_UNTIL], s[PAUSE_KIND] = pauseUntil, pauseKind end

redis.call('ZADD', instances, NOW, id)
redis.call('PEXPIRE', instances, 86400000)
if NOW >= s[PHASE_ENDS] then s[PHASE_ENDS] = 0 end
-- A newcomer does not stand for one that is gone with its use unreported, whose place it may have taken.
if s[PHASE_ENDS] > 0 and (s[EPOCH] == s[BIRTH] or not isNewcomer) then
  redis.call('SADD', reported, id)
  redis.call('PEXPIRE', reported, ceil(windowMs) * 2)
  s[PHASE_INSTANCES] = max(s[PHASE_INSTANCES], known)
  if redis.call('SCARD', reported) >= s[PHASE_INSTANCES] then s[PHASE_ENDS] = 0 end
end
s[INSTANCES] = max(s[INSTANCES], redis.call('ZCARD', instances))
store(account, s)
return reply(call, DECIDED, s)
