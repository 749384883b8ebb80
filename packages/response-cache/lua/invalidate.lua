-- Gives a tag a new generation and tells the fleet.
-- Atomic, so that of two invalidations of a tag all instances hear the same one last that Redis keeps.
-- KEYS: tags
-- ARGV: tag, generation, keptMs, maxTags, channel, message
--       a record of more than maxTags ends: the next one invalidates everything that was made under it
-- RETURNS: 'OK'
local tagsKey = KEYS[1]
local tag, generation, keptMs, maxTags = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local channel, message = ARGV[5], ARGV[6]

if redis.call('TYPE', tagsKey).ok ~= 'hash' or redis.call('HLEN', tagsKey) > tonumber(maxTags) then
  redis.call('DEL', tagsKey)
end
redis.call('HSET', tagsKey, tag, generation)
redis.call('PEXPIRE', tagsKey, keptMs)
redis.call('PUBLISH', channel, message)
return 'OK'
