-- call.lua: what one call of the script says. Read after account.lua and line.lua, and before quota.lua.
-- KEYS[1] the pool's hash, with the fields `pool`, `tenant <id>`, `ring <account>`, `members`, `call <member>`, `turns`
-- KEYS[2], KEYS[3], KEYS[4] of lua/line.lua
-- ARGV[1] number of the call; a member counts up
-- ARGV[2] kind: 'reserve', 'heartbeat', 'leave' (a member that closes), 'usage' (a reader that is no member)
-- ARGV[3] id of the member
-- ARGV[4] 'known,seen,doubted': the incarnation that the member knows (0: none) and the most writes it has seen in it; an
--         incarnation in which it saw a clock step (0: none)
-- ARGV[5] deadline: Redis's time, in milliseconds, after which the caller has given up; 0: none
-- ARGV[6] terms 'window,transit,margin,open,rpm,rpd,tpm,tpd': milliseconds of the window with its slack and of the transit,
--         which together are the length of the ring; the share of the limits for batch calls; 1 when an empty state needs
--         no hold; the pool's limits
-- ARGV[7] ends of yesterday, today and tomorrow 'a,b,c', in milliseconds since the epoch
-- ARGV[8] runs of equal reservations 'count,requests,tokens,batch;…', batch 0 or 1
-- ARGV[9] adjustments of the pool 'bucket,dayEnd,addT,takeR,takeT;…'
-- ARGV[10] pause 'kind,until': kind 1 to 5 for rpm, rpd, tpm, tpd, upstream; until 0: the provider named no time
-- ARGV[11] what the member knows of the day, JSON [[tenant or '', dayEnd, requests, tokens], …], upper bounds
-- ARGV[12] id of the tenant; ARGV[13] its limits 'rpm,rpd,tpm,tpd'; ARGV[14] its adjustments
-- ARGV[15] JSON about the tickets of one group of the member, those of the tenant: { group, most: how many may be granted,
--         longest: most tickets in both lines, gone: [[ticket, line], …] of those that have given up,
--         named: [[ticket, line, longest wait], …] }

local call, kind, member, deadline = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local runs, adjustments, pause, knowledge = ARGV[8] or '', ARGV[9] or '', ARGV[10] or '', ARGV[11] or ''
local tenantId, tenantLimits, tenantAdjustments, lineText = ARGV[12] or '', ARGV[13] or '', ARGV[14] or '', ARGV[15] or ''
local known, seen, doubted = string.match(ARGV[4], '^(%d+),(%d+),(%d+)$')
known, seen, doubted = tonumber(known), tonumber(seen), tonumber(doubted)

-- With cjson, which takes half the time of string.gmatch.
local function numbers(text)
  return cjson.decode('[' .. text .. ']')
end

local time = redis.call('TIME')
local TIME_US = time[1] * 1000000 + time[2]
local TIME_MS = TIME_US / 1000
if deadline > 0 and TIME_MS > deadline then return pack('<ddd', call, TIME_MS, LATE) end

-- A duplicate of a call, or one that was overtaken, would let tickets join again that have started or given up meanwhile.
if lineText ~= '' and tonumber(call) <= tonumber(redis.call('HGET', KEY, 'call ' .. member) or 0) then
  return pack('<ddd', call, TIME_MS, LATE)
end

-- Names this life of the dataset: a master makes a new replication ID when it starts and when it is promoted.
local run = string.match(redis.call('INFO', 'replication'), 'master_replid:(%w+)')
local terms, ends, isMember = numbers(ARGV[6]), numbers(ARGV[7]), kind ~= 'usage'
local window, transit, margin, mayOpen = unpack(terms)
local limits, ownRing = { unpack(terms, 5) }, window + transit
