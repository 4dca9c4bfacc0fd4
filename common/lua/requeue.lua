-- uses: prelude view audit
-- ARGV id, who, redo step or '', mail arrived (0|1), lift limit (0|1), from
-- -> {'OK'} | {'NONE'} | {'STATE', state} | {'STALE'} | {'AMBIGUOUS'} | {'NOTAMBIGUOUS'} |
--    {'DUPLICATE', first id}
-- Finished steps are kept; redo drops that step and all after it.
local id, j, who, redo = ARGV[1], job(ARGV[1]), ARGV[2], ARGV[3]
local f = call('HMGET', j, 'state', 'dup_of', 'frozen', 's:email', 'iat_ms', 'err_class',
  'err_step', 'ticket_fault')
local state, arrived = f[1], ARGV[4] == '1'
if not state then return {'NONE'} end
if f[2] then return {'DUPLICATE', f[2]} end
if not (state == 'failed' or state == 'delayed' or state == 'done' and redo ~= '') then
  return {'STATE', state}
end
-- Somebody has thought of the mail: it arrived, or is to be sent anew.
local mails = arrived or redo == 'validate' or redo == 'sign' or redo == 'email'
if arrived and f[6] ~= 'ambiguous' then return {'NOTAMBIGUOUS'} end
if f[6] == 'ambiguous' and not mails then return {'AMBIGUOUS'} end
-- A mail may be out there whose license is a day old by now: a person decides.
if f[3] and not f[4] and not mails and tonumber(f[5] or 0) < now - 86400000 then
  return {'STALE'}
end

local results = {
  {'validate', 's:validate', 'req'},
  {'sign', 's:sign', 'lic', 'lic_id', 'kid', 'lic_format', 'iat_ms', 'exp_ms', 'frozen'},
  {'email', 's:email', 'i:email', 'msgid', 'ambiguous', 'mail_arrived'},
  {'record', 's:record', 'i:record', 'iid', 'issue_url'},
  {'close', 's:close'},
}
local on = false
for _, r in ipairs(results) do
  on = on or r[1] == redo
  if on then call('HDEL', j, unpack(r, 2)) end
end
if redo ~= '' and not on then return redis.error_reply('ERR unknown step') end
if redo == 'validate' or redo == 'sign' or redo == 'email' then
  call('HINCRBY', j, 'mail_serial', 1)
  call('HSET', j, 'mail_date_ms', stamp)
end
if arrived then
  call('HSET', j, 'mail_arrived', '1', 's:email',
    stamp .. ' 0 ' .. who .. ' says that the mail arrived')
  call('HDEL', j, 'i:email')
end
if ARGV[5] == '1' then call('HSET', j, 'lifted', '1') end
if f[7] == 'validate' and (f[6] == 'out_of_scope' or f[6] == 'invalid' and f[8]) then
  call('HSET', j, 'released', '1')
end

call('HINCRBY', j, 'requeues', 1)
call('HSET', j, 'state', 'queued', 'attempt', '0', 'ambiguous', '0')
call('HDEL', j, 'err_class', 'err_step', 'err_code', 'err_text', 'first_error_ms', 'losses',
  'ended_ms', 'due_ms', 'lane', 'ticket_fault', 'discarded')
call('LPUSH', P .. 'pending', id)
for _, set in ipairs({'failed', 'done', 'delayed'}) do call('ZREM', P .. set, id) end
local more = (redo ~= '' and ', redo ' .. redo or '')
  .. (arrived and ', mail arrived' or '') .. (ARGV[5] == '1' and ', limit lifted' or '')
event(id, 'requeued by ' .. who .. more)
audit(who, ARGV[6], 'requeue', id, string.sub(more, 3))
count('requeued')
view(id)
return {'OK'}
