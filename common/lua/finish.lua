-- uses: prelude write view ends
-- ARGV id, wid, fence, verb (done | fail | retry | snooze | release), delay_ms, event or '',
-- then as in write -> 1 done, 2 this very call was done before, 0 not yours
local id, wid, fence, verb = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local j, me = job(id), ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]
local f = read(j, {'owner', 'fence', 'last', 'ticket', 's:email', unpack(REPORTED)})
if f.owner ~= wid or f.fence ~= fence then return {f.last == me and 2 or 0} end
shrink()
local set
if verb == 'done' then set = to_end(id, 'done')
elseif verb == 'fail' then set = to_end(id, 'failed')
elseif verb == 'retry' or verb == 'snooze' then
  local due = now + tonumber(ARGV[5])
  call('ZADD', P .. 'delayed', due, id)
  set = {'state', 'delayed', 'due_ms', int(due)}
  count(verb)
elseif verb == 'release' then
  call('RPUSH', P .. 'pending', id)
  set = {'state', 'queued'}
else return redis.error_reply('ERR unknown verb') end
set[#set+1] = 'last'
set[#set+1] = me
write(j, 7, set, {'owner', 'losses'}) -- its worker has outlived it: no poison
-- The mail's result may come with the end of an attempt: it is late no more.
if not f['s:email'] and (verb == 'done' or call('HEXISTS', j, 's:email') == 1) then
  call('ZREM', P .. 'follow', 'late ' .. id)
end
if verb == 'done' then tell_success(id, f) end
if verb == 'fail' then tell_failure(id) end
if verb == 'release' or verb == 'snooze' then call('HINCRBY', j, 'attempt', -1) end
call('LREM', P .. 'proc:' .. wid, 1, id)
if ARGV[6] ~= '' then event(id, ARGV[6]) end
view(id)
return {1}
