-- For wrk: asks for the given paths in turn and writes what came of it as one line of JSON.
requests = {}
local turn = 0

-- nginx limits the requests of an address, so they come from as many as it takes.
function address(n)
  return string.format('10.0.%d.%d', n / 256, n % 256)
end

function init(paths)
  for n = 0, 4095 do
    local headers = { ['x-forwarded-for'] = address(n) }
    requests[n + 1] = wrk.format('GET', paths[n % #paths + 1], headers)
  end
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
