-- For wrk: asks for subtopics of ever new topics, whose names begin with the given word, and reports as cache-load.lua does.
dofile(debug.getinfo(1, 'S').source:match('^@(.*)scale%-load%.lua$') .. 'cache-load.lua')

local word = 'topic'
local asked = 0

function init(words) word = words[1] end

function request()
  asked = asked + 1
  local body = string.format('{"topic":"%s %d"}', word, asked)
  return wrk.format('POST', '/api/create_subtopics', { ['content-type'] = 'application/json' }, body)
end
