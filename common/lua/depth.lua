-- uses: prelude
-- -> now, inbox, pending, solo, active, delayed, failed, done, follow-ups, to be told in
-- Slack, on tickets, live workers, paused (0|1), when the oldest job that could run was
-- accepted (-1: there is none)
-- Reads only.
local live, active, oldest = 0, 0, -1
local workers = call('ZRANGE', P .. 'workers', 0, 999, 'WITHSCORES')
for i = 1, #workers, 2 do
  active = active + call('LLEN', P .. 'proc:' .. workers[i])
  if tonumber(workers[i+1]) >= now then live = live + 1 end
end
local function look(list)
  local id = call('LINDEX', P .. list, -1)
  local at = id and tonumber(call('HGET', job(id), 'accepted_ms') or nil)
  if at and (oldest < 0 or at < oldest) then oldest = at end
end
look('pending')
look('solo')
return {now, call('LLEN', P .. 'inbox'), call('LLEN', P .. 'pending'), call('LLEN', P .. 'solo'),
  active, call('ZCARD', P .. 'delayed'), call('ZCARD', P .. 'failed'), call('ZCARD', P .. 'done'),
  call('ZCARD', P .. 'follow'), call('ZCARD', P .. 'tell:slack'), call('ZCARD', P .. 'tell:zendesk'),
  live, call('EXISTS', P .. 'paused'), oldest}
