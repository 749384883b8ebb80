-- Gives a tag a new generation and tells the fleet.
-- Atomic, so that of two invalidations of a tag all instances hear the same one last that Redis keeps.
-- KEYS: generation
-- ARGV: generation, generationMs, channel, message
-- RETURNS: 'OK'
local generationKey = KEYS[1]
local generation, generationMs, channel, message = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

redis.call('SET', generationKey, generation, 'PX', generationMs)
redis.call('PUBLISH', channel, message)
return 'OK'
