-- count-requests.lua: counts requests of one turn of a gateway's event loop, each in its caller's window.
-- KEYS[n] a caller's window, all with one hash tag
-- ARGV[5n-4] how many requests it gets
-- ARGV[5n-3] how many were counted ahead before and did not come
-- ARGV[5n-2] how many the gateway would like to count ahead now
-- ARGV[5n-1] the caller's limit
-- ARGV[5n] the window's length in milliseconds, from its first request
-- RETURNS for each key: the count with these requests, how many more were counted ahead, the milliseconds until the window ends
-- Atomic, because a count without an end would refuse its caller for ever, and what is left is left for one gateway only.

local answers = {}
for n, key in ipairs(KEYS) do
  local requests, back, ahead, limit, windowMs = unpack(ARGV, 5 * n - 4, 5 * n)
  local endsInMs = redis.call('PTTL', key)
  if endsInMs < 0 then back = 0 end
  local count = redis.call('INCRBY', key, requests - back)
  ahead = math.max(0, math.min(tonumber(ahead), math.floor((limit - count) / 16)))
  if ahead > 0 then redis.call('INCRBY', key, ahead) end
  if endsInMs < 0 then
    endsInMs = tonumber(windowMs)
    redis.call('PEXPIRE', key, endsInMs)
  end
  answers[3 * n - 2] = count
  answers[3 * n - 1] = ahead
  answers[3 * n] = endsInMs
end
return answers
