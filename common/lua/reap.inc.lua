-- reap: a dead worker's jobs go back to the head of the queue. The third loss without a
-- checkpoint between is poison; after the second the job runs alone (list solo).
local function reap(wid)
  local proc = P .. 'proc:' .. wid
  for i = 1, 200 do
    local id = call('LINDEX', proc, 0) -- the youngest first: the oldest ends at the head
    if not id then break end
    local j = job(id)
    if call('HGET', j, 'owner') == wid then
      local losses = call('HINCRBY', j, 'losses', 1)
      call('HINCRBY', j, 'fence', 1)
      call('HDEL', j, 'owner')
      event(id, 'lost its worker ' .. wid)
      count('reclaimed')
      if losses >= 3 then
        call('HSET', j, 'err_class', 'poison', 'err_code', '0', 'err_text',
          'three workers died while they ran this job')
        call('HSET', j, unpack(to_end(id, 'failed')))
        tell_failure(id)
        event(id, 'failed poison: three workers died while they ran this job')
        view(id)
      else
        call('HSET', j, 'state', 'queued')
        call('RPUSH', waits(id), id)
      end
    end
    call('LPOP', proc)
  end
  if call('EXISTS', proc) == 0 then
    call('ZREM', P .. 'workers', wid)
    call('DEL', P .. 'winfo:' .. wid)
  end
end
