-- For wrk: asks for the given paths in turn and writes what came of it as one line of JSON.
local requests = {}
local turn = 0

function init(paths)
  for at, path in ipairs(paths) do requests[at] = wrk.format('GET', path) end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\n{"requests":%d,"failed":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, failed, summary.duration, latency:percentile(50), latency:percentile(99)))
end
