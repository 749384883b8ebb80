-- For wrk: posts one small question again and again, with the given headers 'name=value'; what came of it as one line of JSON.
function init(given)
  wrk.method = 'POST'
  wrk.body = '{"topic":"Photosynthesis","language":"en"}'
  wrk.headers['Content-Type'] = 'application/json'
  for _, header in ipairs(given) do
    local name, value = string.match(header, '^([^=]+)=(.*)$')
    wrk.headers[name] = value
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format('\n{"requests":%d,"failed":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d}\n',
    summary.requests, failed, summary.duration, latency:percentile(50), latency:percentile(99)))
end
