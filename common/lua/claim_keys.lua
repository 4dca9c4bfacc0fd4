-- uses: prelude view ends
-- ARGV id, wid, fence, req, digest, idem key or '', same key, ticket, retention_ms,
-- who
-- -> {'OK', earlier ids...} | {'DUP'|'REPLAY'|'RERUN'|'SPENT', first id} (this job
-- has ended as a duplicate) | {'CLASH', first id} | {'LOST'}
local id, wid, fence = ARGV[1], ARGV[2], ARGV[3]
local j = job(id)
local f = call('HMGET', j, 'owner', 'fence', 'raw', 'accepted_ms', 'clash')
if f[1] ~= wid or f[2] ~= fence then return {'LOST'} end
shrink()
local function keep_request(...)
  call('HSET', j, 'req', ARGV[4], 'digest', ARGV[5], 'ticket', ARGV[8], ...)
end
local function clash(first)
  keep_request()
  return {'CLASH', first}
end
local function duplicate(kind, first, words)
  ended(id)
  keep_request('dup_of', first, 'last', wid .. ' ' .. fence .. ' dup')
  call('HDEL', j, 'owner')
  call('LREM', P .. 'proc:' .. wid, 1, id)
  event(id, 'duplicate of ' .. first .. ': ' .. words)
  if call('EXISTS', job(first)) == 1 then
    event(first, 'asked for again by ' .. ARGV[10] .. ' (request ' .. id .. '): ' .. words)
  end
  count('duplicate')
  view(id)
  return {kind, first}
end
if f[5] then
  if call('HGET', job(f[5]), 'digest') == ARGV[5] then
    return duplicate('REPLAY', f[5], 'the same request came again')
  end
  return clash(f[5])
end
if ARGV[6] ~= '' then
  local key = P .. 'idem:' .. ARGV[6]
  local first = call('GET', key)
  if first and first ~= id then
    local digest = call('HGET', job(first), 'digest')
    if digest == ARGV[5] then
      return duplicate('REPLAY', first, 'the same request came again')
    end
    if digest then return clash(first) end
    if call('EXISTS', P .. 'forgotten:' .. first) == 1 then -- with what content nobody knows
      return duplicate('REPLAY', first, 'its key was used by a request that is forgotten')
    end
  end
  call('SET', key, id, 'PX', ARGV[9])
  call('HSET', j, 'idem', ARGV[6])
end
local same = P .. 'same:' .. ARGV[7]
local first = call('GET', same)
if first and first ~= id then
  local o = call('HMGET', job(first), 'state', 'exp_ms', 'reruns', 'err_step', 'frozen',
    's:email', 'iat_ms', 'err_class')
  local stale = o[5] and not o[6] and tonumber(o[7] or 0) < now - 86400000
  if o[1] == 'queued' or o[1] == 'active' or o[1] == 'delayed' then
    return duplicate('DUP', first, 'it is still at work')
  elseif o[1] == 'done' and tonumber(o[2] or 0) > now then
    return duplicate('DUP', first, 'its license is still valid')
  elseif o[1] == 'failed' and o[8] == 'ambiguous' then
    return duplicate('SPENT', first,
      'its mail may have arrived; an operator has to say so, or have it sent again')
  elseif o[1] == 'failed' and tonumber(o[3] or 0) >= 3 then
    return duplicate('SPENT', first,
      'it failed and was run again three times; an operator has to requeue it')
  elseif o[1] == 'failed' and not stale then
    if o[4] == 'validate' then
      call('HSET', job(first), 'raw', f[3], 'accepted_ms', f[4])
      call('HDEL', job(first), 'req', 'digest', 's:validate', 'clash', 'ticket_fault')
      if ARGV[6] ~= '' then -- the key goes with the bytes: else each would be the
        call('SET', P .. 'idem:' .. ARGV[6], first, 'PX', ARGV[9]) -- other's replay
        call('HSET', job(first), 'idem', ARGV[6])
      end
    end
    call('HINCRBY', job(first), 'reruns', 1)
    call('HSET', job(first), 'state', 'queued', 'attempt', '0')
    call('HDEL', job(first), 'err_class', 'err_step', 'err_code', 'err_text',
      'first_error_ms', 'losses', 'ended_ms')
    call('LPUSH', P .. 'pending', first)
    call('ZREM', P .. 'failed', first)
    view(first)
    return duplicate('RERUN', first, 'it had failed and runs again')
  end
end
call('SET', same, id, 'PX', ARGV[9])
local tickets = P .. 'ticket:' .. ARGV[8]
local out = {'OK'}
for _, other in ipairs(call('ZRANGE', tickets, -50, -1)) do
  local o = call('HMGET', job(other), 's:email', 'state')
  if other ~= id and o[1] then out[#out+1] = other end
end
of_ticket(id, ARGV[8])
if #out > 1 then keep_request('same', ARGV[7], 'earlier', table.concat(out, ' ', 2))
else keep_request('same', ARGV[7]) end
return out
