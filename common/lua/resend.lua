-- uses: prelude view audit
-- ARGV id, who, the request that asks for it or '', from
-- -> {'OK', id} | {'NONE'} | {'STATE', state} | {'EXPIRED'} | {'SPENT'}
-- A request is granted once, however often its worker asks. It is a client's: only what an
-- operator asks for leaves an audit line.
local id, request = ARGV[1], ARGV[3]
local granted = request ~= '' and call('HGET', job(request), 'resent')
if granted then return {'OK', granted} end
for i = 1, 5 do
  local first = call('HGET', job(id), 'dup_of')
  if first then id = first else break end
end
local j = job(id)
local f = call('HMGET', j, 'state', 'lic', 'exp_ms', 'resends')
if not f[1] then return {'NONE'} end
if f[1] ~= 'done' or not f[2] then return {'STATE', f[1]} end
if tonumber(f[3] or 0) <= now then return {'EXPIRED'} end
if tonumber(f[4] or 0) >= 3 then return {'SPENT'} end
call('HINCRBY', j, 'resends', 1)
call('HINCRBY', j, 'mail_serial', 1)
call('HSET', j, 'state', 'queued', 'attempt', '0', 'ambiguous', '0', 'mail_date_ms',
  stamp)
call('HDEL', j, 's:email', 'i:email', 'mail_arrived', 'ended_ms', 'first_error_ms')
if request ~= '' then call('HSET', job(request), 'resent', id)
else audit(ARGV[2], ARGV[4], 'resend', id) end
call('LPUSH', P .. 'pending', id)
call('ZREM', P .. 'done', id)
event(id, 'to be mailed again, asked for by ' .. ARGV[2])
count('resent')
view(id)
return {'OK', id}
