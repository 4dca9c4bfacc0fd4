-- uses: prelude view ends audit
-- ARGV id, who, from -> {'OK'} | {'NONE'} | {'STATE', state}
local id, j = ARGV[1], job(ARGV[1])
local f = call('HMGET', j, 'state', 'same')
if not f[1] then return {'NONE'} end
if f[1] == 'active' or f[1] == 'done' then return {'STATE', f[1]} end
ended(id)
call('HSET', j, 'discarded', ARGV[2])
call('HDEL', j, 'due_ms', 'lane')
call('ZREM', P .. 'failed', id)
call('ZREM', P .. 'delayed', id)
call('LREM', P .. 'pending', 0, id)
call('LREM', P .. 'solo', 0, id)
if f[2] and call('GET', P .. 'same:' .. f[2]) == id then
  call('DEL', P .. 'same:' .. f[2])
end
solve(id, id)
event(id, 'discarded by ' .. ARGV[2])
audit(ARGV[2], ARGV[3], 'discard', id)
count('discarded')
view(id)
return {'OK'}
