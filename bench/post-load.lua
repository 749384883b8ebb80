-- For wrk: posts the same body again and again, or, with a %d in it, ever new ones, and reports as cache-load.lua does.
-- Given: the body, then headers 'name=value'.
dofile(debug.getinfo(1, 'S').source:match('^@(.*)post%-load%.lua$') .. 'cache-load.lua')

local body
local headers = { ['content-type'] = 'application/json' }
local asked = 0

function init(given)
  body = given[1]
  for at = 2, #given do
    local name, value = string.match(given[at], '^([^=]+)=(.*)$')
    headers[name] = value
  end
end

function request()
  asked = asked + 1
  return wrk.format('POST', nil, headers, string.format(body, asked))
end
