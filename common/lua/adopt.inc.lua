-- adopt: an inbox entry becomes a job, unparsed: nothing that arrives is ever dropped. An
-- entry is a bare request, or an id, one space and the request; the same bytes under the
-- same id are the same job, other bytes a job of their own that says so (clash).
local function adopt(entry, fresh, late)
  local id, raw, clash = string.sub(entry, 1, 26), entry, nil
  if string.sub(entry, 27, 27) == ' ' and not string.find(id, '[^0-9a-z]') then
    raw = string.sub(entry, 28)
    local old = call('HGET', job(id), 'raw')
    if old == raw then
      count('replayed')
      event(id, 'replay: the same request came again')
      return
    end
    if old then clash = id; id = fresh
    elseif call('EXISTS', P .. 'forgotten:' .. id) == 1 then -- its bytes are known no more
      count('replayed')
      return
    end
  else
    id = fresh
  end
  call('HSET', job(id), 'v', '1', 'state', 'queued', 'raw', raw, 'accepted_ms', stamp,
    'attempt', '0', 'fence', '0')
  if clash then call('HSET', job(id), 'clash', clash) end
  call('ZADD', P .. 'follow', now + late, 'late ' .. id)
  call('LPUSH', P .. 'pending', id)
  return true
end

-- seed: random text, from which fresh ids are made.
local function adopt_all(seed, most, late)
  local entries, n = call('LRANGE', P .. 'inbox', -tonumber(most), -1), 0
  for i = 1, #entries do -- the oldest stands at the right end
    local fresh = string.sub(redis.sha1hex(seed .. i), 1, 26)
    if adopt(entries[#entries+1-i], fresh, tonumber(late)) then n = n + 1 end
    call('RPOP', P .. 'inbox')
  end
  if n > 0 then count('adopted', n) end
end
