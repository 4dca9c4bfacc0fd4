-- ends: how a job ends. A failed one always gets its report; a good one has the failure
-- issues of its ticket closed. The caller takes the job out of where it was, afterwards.
-- A request that could not be read has a ticket all the same, if that much was readable.
local function of_ticket(id, ticket)
  local keep = call('HGET', P .. 'cfg', 'retention_ms') or '2592000000'
  call('ZADD', P .. 'ticket:' .. ticket, 'NX', now, id)
  call('PEXPIRE', P .. 'ticket:' .. ticket, keep)
end

local function failed(id)
  local ticket = call('HGET', job(id), 'ticket')
  if ticket then of_ticket(id, ticket) end
  call('ZADD', P .. 'failed', now, id)
  call('HSET', job(id), 'state', 'failed', 'ended_ms', int(now))
  call('HDEL', job(id), 'fixed_by')
  call('ZREM', P .. 'follow', 'late ' .. id)
  call('ZADD', P .. 'follow', now, 'report ' .. id)
  count('failed')
end

local function solve(id, by)
  local f = call('HMGET', job(id), 'report_iid', 'i:report', 'report_closed')
  if (f[1] or f[2]) and f[3] ~= '1' then
    call('HSET', job(id), 'fixed_by', by)
    call('ZADD', P .. 'follow', now, 'report ' .. id)
  else
    call('ZREM', P .. 'follow', 'report ' .. id)
  end
end

local function ended(id)
  call('ZADD', P .. 'done', now, id)
  call('HSET', job(id), 'state', 'done', 'ended_ms', int(now))
  call('ZREM', P .. 'follow', 'late ' .. id)
  count('done')
end

local function succeeded(id)
  ended(id)
  local ticket = call('HGET', job(id), 'ticket')
  if not ticket then return end
  for _, other in ipairs(call('ZRANGE', P .. 'ticket:' .. ticket, -50, -1)) do
    solve(other, id)
  end
end
