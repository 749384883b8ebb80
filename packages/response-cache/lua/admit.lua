-- Enters a large value that was stored, and says which older ones have to go for it.
-- Atomic, so that values stored at the same time are all counted.
-- KEYS: large
-- ARGV: key, bytes, maxValues, maxBytes, keptMs
-- RETURNS: the keys of the values to delete
local largeKey = KEYS[1]
local key, bytes, maxValues, maxBytes, keptMs = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

if redis.call('TYPE', largeKey).ok ~= 'hash' then
  redis.call('DEL', largeKey)
end
local time = redis.call('TIME')
redis.call('HSET', largeKey, key, string.format('%d%06d %d', time[1], time[2], bytes))
redis.call('PEXPIRE', largeKey, keptMs)

local entries = {}
local fields = redis.call('HGETALL', largeKey)
for at = 1, #fields, 2 do
  local storedAt, size = string.match(fields[at + 1], '^(%d+) (%d+)$')
  entries[#entries + 1] = { key = fields[at], storedAt = tonumber(storedAt) or 0, bytes = tonumber(size) or 0 }
end
table.sort(entries, function(a, b)
  if a.key == key or b.key == key then
    return a.key == key and b.key ~= key
  end
  return a.storedAt > b.storedAt
end)

local dropped, sum = {}, 0
for position, entry in ipairs(entries) do
  sum = sum + entry.bytes
  if position > 1 and (position > tonumber(maxValues) or sum > tonumber(maxBytes)) then
    redis.call('HDEL', largeKey, entry.key)
    dropped[#dropped + 1] = entry.key
  end
end
return dropped
