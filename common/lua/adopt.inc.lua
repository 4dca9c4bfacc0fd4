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
    if old then clash = id; id = fresh end
  else
    id = fresh
  end
  call('HSET', job(id), 'v', '1', 'state', 'queued', 'raw', raw, 'accepted_ms', int(now),
    'attempt', '0', 'fence', '0')
  if clash then call('HSET', job(id), 'clash', clash) end
  call('ZADD', P .. 'follow', now + late, 'late ' .. id)
  call('LPUSH', P .. 'pending', id)
  count('adopted')
end

-- seed: random text, from which fresh ids are made.
local function adopt_all(seed, most, late)
  for i = 1, tonumber(most) do
    local entry = call('LINDEX', P .. 'inbox', -1)
    if not entry then return end
    adopt(entry, string.sub(redis.sha1hex(seed .. i), 1, 26), tonumber(late))
    call('RPOP', P .. 'inbox')
  end
end
