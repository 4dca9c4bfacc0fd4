-- uses: prelude write view
-- ARGV id, wid, fence, checkpoint (0|1), late step or '', guard field or '', cap count,
-- (name, limit)..., then as in write
-- -> {1} saved, {0, the job's issue or ''} not yours, {2} accepted late, {3} the guard
--    field is there already, {4, name of the cap}
local id, wid, fence = ARGV[1], ARGV[2], ARGV[3]
local j, at, result = job(id), 7, 1
local f = call('HMGET', j, 'owner', 'fence', 'i:' .. ARGV[5], 's:' .. ARGV[5])
if f[1] ~= wid or f[2] ~= fence then
  -- Reaped meanwhile. The result of an effect still counts for the owner that wrote its
  -- intent, as long as nobody has redone it.
  local mine = wid .. ' ' .. fence .. ' '
  if ARGV[5] == '' or f[4] or string.sub(f[3] or '', 1, #mine) ~= mine then
    return {0, call('HGET', j, 'iid') or ''}
  end
  result = 2
end
if ARGV[6] ~= '' and call('HEXISTS', j, ARGV[6]) == 1 then return {3} end
shrink()
local caps = tonumber(ARGV[at])
for i = 1, caps do
  local key, limit = P .. 'cap:' .. ARGV[at+2*i-1], tonumber(ARGV[at+2*i])
  call('ZREMRANGEBYSCORE', key, '-inf', int(now - 86400000))
  if not call('ZSCORE', key, id) and call('ZCARD', key) >= limit then
    return {4, ARGV[at+2*i-1]}
  end
end
for i = 1, caps do
  local key = P .. 'cap:' .. ARGV[at+2*i-1]
  call('ZADD', key, 'NX', now, id)
  call('PEXPIRE', key, 86400000)
end
at = at + 1 + 2*caps
local progress = false -- an intent written again is none
for i = at + 1, at + 2*tonumber(ARGV[at]), 2 do
  local step = string.sub(ARGV[i], 1, 2) == 's:'
  progress = progress or step and call('HEXISTS', j, ARGV[i]) == 0
end
write(j, at)
if ARGV[4] == '1' then
  if progress then call('HDEL', j, 'losses') end
  if call('HEXISTS', j, 's:email') == 1 then
    call('ZREM', P .. 'follow', 'late ' .. id)
  end
  view(id)
end
if result == 2 then event(id, 'late result of ' .. ARGV[5] .. ' accepted from ' .. wid) end
return {result}
