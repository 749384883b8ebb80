-- Names the record of invalidations, and begins a new one when there is none (or a foreign value in its place).
-- Atomic, so that all instances find the same name.
-- KEYS: tags
-- ARGV: id, keptMs
-- RETURNS: '<run_id>:<id>', the run_id empty when INFO is not allowed
local tagsKey = KEYS[1]
local id, keptMs = ARGV[1], ARGV[2]

if redis.call('TYPE', tagsKey).ok ~= 'hash' then
  redis.call('DEL', tagsKey)
end
local info = redis.pcall('INFO')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
redis.call('HSETNX', tagsKey, '', run .. ':' .. id)
redis.call('PEXPIRE', tagsKey, keptMs)
return redis.call('HGET', tagsKey, '')
