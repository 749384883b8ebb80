-- report-tenant.lua: posts what an instance used of one tenant's limits, after report.lua has posted the pool's.
-- KEYS[1] the pool's account
-- KEYS[2] the tenant's account
-- ARGV[1] number of the call
-- ARGV[2] length of the window in milliseconds
-- ARGV[3] ends of yesterday, today and tomorrow, 'a,b,c'
-- ARGV[4] use to post, as corrections
-- RETURNS the reply's head and the pool's account
-- Atomic, because the tenant's account must be made anew and filled before anything is granted from it.

local poolKey, tenantKey = KEYS[1], KEYS[2]
local call, windowMs, ends, used = ARGV[1], tonumber(ARGV[2]), dayEnds(ARGV[3]), ARGV[4]

local pool = load(poolKey)
if not pool then return reply(call, REPORT_FIRST) end
local s = load(tenantKey)
if not s or s[EPOCH] ~= pool[BIRTH] then s = createTenant(pool, windowMs, s ~= nil) end
roll(tenantKey, s, windowMs, ends)
adjustAll(tenantKey, s, used, 0)
store(tenantKey, s)
return reply(call, DECIDED, pool)
