-- count-requests.lua: counts requests of one turn of a gateway's event loop, each in its client's window.
-- KEYS[n] a client's window, all with one hash tag
-- ARGV[2n-1] how many requests it gets
-- ARGV[2n] the window's length in milliseconds, from its first request
-- RETURNS for each key: the count with these requests, the milliseconds until the window ends
-- Atomic, because a count without an end would refuse its client for ever.

local answers = {}
for n, key in ipairs(KEYS) do
  local requests, windowMs = unpack(ARGV, 2 * n - 1, 2 * n)
  answers[2 * n - 1] = redis.call('INCRBY', key, requests)
  local endsInMs = redis.call('PTTL', key)
  if endsInMs < 0 then
    endsInMs = tonumber(windowMs)
    redis.call('PEXPIRE', key, endsInMs)
  end
  answers[2 * n] = endsInMs
end
return answers
