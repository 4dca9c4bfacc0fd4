-- remove: everything of a job but its place in a list or set, which is the caller's. idem:
-- the key by which a replay is known stays.
local function remove(id, idem)
  local f = read(job(id), {'same', 'idem', 'ticket', 'report_shared'})
  local function drop(name, key)
    if key and call('GET', P .. name .. key) == id then call('DEL', P .. name .. key) end
  end
  drop('same:', f.same)
  if not idem then drop('idem:', f.idem) end
  if f.ticket then
    call('ZREM', P .. 'ticket:' .. f.ticket, id)
    local seen = call('GET', P .. 'view:t:' .. f.ticket)
    if seen and string.find(seen, '"job_id":"' .. id .. '"', 1, true) then
      call('DEL', P .. 'view:t:' .. f.ticket)
    end
  end
  local shared = f.report_shared and P .. 'shared:' .. f.report_shared
  local ids = shared and call('HGET', shared, 'ids')
  if ids then
    call('HSET', shared, 'ids', (string.gsub(string.gsub(ids, id .. ' ?', ''), ' $', '')))
  end
  call('ZREM', P .. 'invalid', id)
  call('ZREM', P .. 'follow', 'report ' .. id, 'late ' .. id)
  call('ZREM', P .. 'tell:slack', id)
  call('ZREM', P .. 'tell:zendesk', id)
  call('DEL', job(id), P .. 'log:' .. id, P .. 'view:' .. id)
end
