-- clock: Redis's host may set its clock back, or a failover lead to a host whose clock is
-- behind. What was put off would wait for so much longer, and a dead worker's lease hold for
-- so long: all of it is put forward by as much, as far as the beats can tell.

-- fresh: nobody is late by the new clock before that.
local function put_forward(key, by, field, fresh)
  for _, member in ipairs(call('ZRANGEBYSCORE', P .. key, '(' .. stamp, '+inf')) do
    local due = tonumber(call('ZSCORE', P .. key, member))
    if not (fresh and due <= fresh and string.find(member, '^late ')) then
      due = int(math.max(now, due - by))
      call('ZADD', P .. key, due, member)
      if field then call('HSET', job(member), field, due) end
    end
  end
end

-- The time of the last beat is kept: it cannot be in the future.
local function watch_clock(late)
  local by = tonumber(call('HGET', P .. 'cfg', 'clock_ms') or 0) - now
  call('HSET', P .. 'cfg', 'clock_ms', stamp)
  if by < 1000 then return end
  put_forward('delayed', by, 'due_ms')
  put_forward('follow', by, nil, now + late) -- those adopted since stay
  for _, key in ipairs({'workers', 'tell:slack', 'tell:zendesk'}) do
    put_forward(key, by)
  end
  for _, name in ipairs(LANES) do
    if call('EXISTS', lane_key(name)) == 1 then
      call('HINCRBY', lane_key(name), 'until_ms', -by)
    end
  end
  count('clock_set_back')
end
