-- uses: prelude write view ends
-- ARGV id, wid, fence, verb (done | fail | retry | snooze | release), delay_ms, event or '',
-- then as in write -> 1 done, 2 this very call was done before, 0 not yours
local id, wid, fence, verb = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local j, me = job(id), ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4]
local f = call('HMGET', j, 'owner', 'fence', 'last')
if f[1] ~= wid or f[2] ~= fence then return {f[3] == me and 2 or 0} end
shrink()
write(j, 7)
if verb == 'done' then succeeded(id)
elseif verb == 'fail' then failed(id)
elseif verb == 'retry' or verb == 'snooze' then
  local due = now + tonumber(ARGV[5])
  call('ZADD', P .. 'delayed', due, id)
  call('HSET', j, 'state', 'delayed', 'due_ms', int(due))
  count(verb)
elseif verb == 'release' then
  call('RPUSH', P .. 'pending', id)
  call('HSET', j, 'state', 'queued')
else return redis.error_reply('ERR unknown verb') end
if verb == 'release' or verb == 'snooze' then call('HINCRBY', j, 'attempt', -1) end
call('HSET', j, 'last', me)
call('LREM', P .. 'proc:' .. wid, 1, id)
call('HDEL', j, 'owner', 'losses') -- its worker has outlived it: no poison
if ARGV[6] ~= '' then event(id, ARGV[6]) end
view(id)
return {1}
