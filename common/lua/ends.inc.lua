-- ends: how a job ends. A failed one always gets its report; a good one has the failure
-- issues of its ticket closed. The caller takes the job out of where it was, afterwards.

-- People are told of it in the channels that are set up, each with a set of its own: what
-- they are told is made out when its turn comes (tell_take).
local function tell(id)
  for channel in string.gmatch(setting('tell') or '', '%a+') do
    call('ZADD', P .. 'tell:' .. channel, stamp, id)
  end
end

-- Once a job.
local function tell_late(id)
  if (setting('tell') or '') ~= '' and call('HSETNX', job(id), 'late_ms', stamp) == 1 then
    tell(id)
  end
end

-- A request that could not be read has a ticket all the same, if that much was readable.
local function of_ticket(id, ticket)
  call('ZADD', P .. 'ticket:' .. ticket, 'NX', stamp, id)
  call('PEXPIRE', P .. 'ticket:' .. ticket, keep())
end

-- Puts the id where ended jobs are; the caller writes the fields that say so.
local function to_end(id, state)
  call('ZADD', P .. state, stamp, id)
  count(state)
  return {'state', state, 'ended_ms', stamp}
end

-- The record says by now that it failed.
local function tell_failure(id)
  local ticket = call('HGET', job(id), 'ticket')
  if ticket then of_ticket(id, ticket) end
  call('HDEL', job(id), 'fixed_by')
  call('ZREM', P .. 'follow', 'late ' .. id)
  call('ZADD', P .. 'follow', stamp, 'report ' .. id)
  tell(id)
end

local REPORTED = {'report_iid', 'i:report', 'report_closed'}

-- f: the fields REPORTED of it, if the caller has them.
local function solve(id, by, f)
  f = f or read(job(id), REPORTED)
  if (f.report_iid or f['i:report']) and f.report_closed ~= '1' then
    call('HSET', job(id), 'fixed_by', by)
    call('ZADD', P .. 'follow', stamp, 'report ' .. id)
  else
    call('ZREM', P .. 'follow', 'report ' .. id)
  end
end

local function ended(id)
  call('HSET', job(id), unpack(to_end(id, 'done')))
  call('ZREM', P .. 'follow', 'late ' .. id)
end

-- f: what the record said before: ticket and REPORTED.
local function tell_success(id, f)
  tell(id)
  if not f.ticket then return end
  for _, other in ipairs(call('ZRANGE', P .. 'ticket:' .. f.ticket, -50, -1)) do
    solve(other, id, other == id and f)
  end
end
