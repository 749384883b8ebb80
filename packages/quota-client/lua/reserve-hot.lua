-- reserve-hot.lua: the common case of reserve.lua, which it comes before: all of a group fits, in the bucket that the
-- state is in, with at most some corrections to make. It answers several times as fast, because it looks at nothing
-- twice and makes no functions. Whenever anything is out of the ordinary it writes nothing, and reserve.lua decides.
-- KEYS[1] the pool's account
-- ARGV[1] the question 'call,plain,batch,epoch,seen,requests,tokens,passed': see reserve.lua
-- ARGV[2] the terms 'windowMs,margin,rpm,rpd,tpm,tpd,…': see reserve.lua
-- ARGV[4] corrections of the pool: see reserve.lua
-- RETURNS as reserve.lua
-- Atomic, because what is free must not change between looking and taking.

local call, plain, batch, known, seen, r, t = string.match(ARGV[1], '^(%d+),(%d),(%d),(%d+),(%d+),(%d+),(%d+),')
if plain == '1' then
  local key = KEYS[1]
  local raw = redis.call('GETRANGE', key, 0, 175)
  if #raw == 176 then
    local wire = '<dddddddddddddddddddddd' -- the fields of account.lua, in their order
    local birth, epoch, phaseEnds, seq, bucket, sumR, sumT, curR, curT, dayEnd, dayR, dayT, restoredR, restoredT,
      pauseUntil, pauseKind, shrinkSince, shrinkFactor, instances, hungry, hungryUse, phaseInstances = struct.unpack(wire, raw)
    local windowMs, margin, rpm, rpd, tpm, tpd = string.match(ARGV[2], '^(%d+),([%d.e-]+),(%d+),(%d+),(%d+),(%d+),')
    local time = redis.call('TIME')
    local now = (time[1] * 1000000 + time[2]) / 1000
    if
      epoch == tonumber(known)
      and seq >= tonumber(seen)
      and bucket == math.floor(now * 240 / windowMs)
      and now < dayEnd
      and now >= pauseUntil + windowMs
      and shrinkFactor == 1
    then
      local cells
      if ARGV[4] ~= '' then
        local max = math.max
        for at, byR, byT in string.gmatch(ARGV[4], '(%d+),(-?%d+),(-?%d+);') do
          local age = bucket - at
          if age == 0 then
            byR, byT = max(-curR, byR), max(-curT, byT)
            curR, curT, sumR, sumT = curR + byR, curT + byT, sumR + byR, sumT + byT
          elseif age > 0 and age <= 240 then
            local offset = 176 + (at % 256) * 16
            local cell = redis.call('GETRANGE', key, offset, offset + 15)
            local cellR, cellT = 0, 0
            if #cell == 16 then cellR, cellT = struct.unpack('<dd', cell) end
            byR, byT = max(-cellR, byR), max(-cellT, byT)
            sumR, sumT = sumR + byR, sumT + byT
            cells = cells or {}
            cells[#cells + 1] = offset
            cells[#cells + 1] = struct.pack('<dd', cellR + byR, cellT + byT)
          end
        end
        for ends, byR, byT in string.gmatch(ARGV[4], '(%d+),(-?%d+),(-?%d+)|') do
          if tonumber(ends) == dayEnd then dayR, dayT = max(0, dayR + byR), max(0, dayT + byT) end
        end
      end
      rpm, rpd, tpm, tpd = tonumber(rpm), tonumber(rpd), tonumber(tpm), tonumber(tpd)
      if batch == '1' then
        local floor = math.floor
        rpm, rpd, tpm, tpd = floor(rpm * margin), floor(rpd * margin), floor(tpm * margin), floor(tpd * margin)
      end
      r, t = tonumber(r), tonumber(t)
      sumR, sumT, curR, curT, dayR, dayT = sumR + r, sumT + t, curR + r, curT + t, dayR + r, dayT + t
      if
        sumR <= rpm
        and dayR <= rpd
        and sumT <= tpm
        and dayT <= tpd
      then
        if cells then
          for at = 1, #cells, 2 do redis.call('SETRANGE', key, cells[at], cells[at + 1]) end
        end
        raw = struct.pack(wire, birth, epoch, phaseEnds, seq + 1, bucket, sumR, sumT, curR, curT, dayEnd, dayR, dayT,
          restoredR, restoredT, pauseUntil, pauseKind, shrinkSince, shrinkFactor, instances, hungry, hungryUse,
          phaseInstances)
        redis.call('SETRANGE', key, 0, raw)
        return struct.pack('<ddd', call, now, 0) .. raw
      end
    end
  end
end

