-- For wrk: posts a small question with one of the given keys, each from an address of its own. Of ten keys two have one
-- turn in a cycle, two have two, and so on up to five; the requests of a key are spread. Reports as cache-load.lua does.
dofile(debug.getinfo(1, 'S').source:match('^@(.*)gateway%-load%.lua$') .. 'cache-load.lua')

function init(keys)
  for turn = 1, 5 do
    for n, key in ipairs(keys) do
      if turn <= 1 + n % 5 then
        local headers = { ['content-type'] = 'application/json', ['x-api-key'] = key, ['x-forwarded-for'] = address(n) }
        requests[#requests + 1] = wrk.format('POST', nil, headers, '{"topic":"Photosynthesis","language":"en"}')
      end
    end
  end
end
