-- count-requests.lua: counts requests of one turn of a gateway's event loop, each in its caller's window.
-- KEYS[n] a caller's window, all with one hash tag
-- ARGV[2n-1] how many requests it gets
-- ARGV[2n] its length in milliseconds, from its first request
-- RETURNS for each key: the count with these requests, the milliseconds until the window ends
-- Atomic, because a count without an end would refuse its caller for ever.

local answers = {}
for n, key in ipairs(KEYS) do
  local count = redis.call('INCRBY', key, ARGV[2 * n - 1])
  local endsInMs = redis.call('PTTL', key)
  if endsInMs < 0 then
    endsInMs = tonumber(ARGV[2 * n])
    redis.call('PEXPIRE', key, endsInMs)
  end
  answers[2 * n - 1] = count
  answers[2 * n] = endsInMs
end
return answers
