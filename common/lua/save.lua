-- uses: prelude write view
-- ARGV id, wid, fence, checkpoint (0|1), late step or '', guard field or '', cap count,
-- (name, limit)..., then as in write
-- -> {1} saved, {0, the job's issue or ''} not yours, {2} accepted late, {3} the guard
--    field is there already, {4, name of the cap}
local id, wid, fence = ARGV[1], ARGV[2], ARGV[3]
local j, at, result = job(id), 7, 1
local fields = at + 1 + 2*tonumber(ARGV[at])
local names = {'owner', 'fence', 'i:' .. ARGV[5], 's:' .. ARGV[5], ARGV[6]}
for i = fields + 1, fields + 2*tonumber(ARGV[fields]), 2 do
  if string.sub(ARGV[i], 1, 2) == 's:' then names[#names+1] = ARGV[i] end
end
local f = read(j, names)
if f.owner ~= wid or f.fence ~= fence then
  -- Reaped meanwhile. The result of an effect still counts for the owner that wrote its
  -- intent, as long as nobody has redone it.
  local mine = wid .. ' ' .. fence .. ' '
  local intent = f['i:' .. ARGV[5]] or ''
  if ARGV[5] == '' or f['s:' .. ARGV[5]] or string.sub(intent, 1, #mine) ~= mine then
    return {0, call('HGET', j, 'iid') or ''}
  end
  result = 2
end
if ARGV[6] ~= '' and f[ARGV[6]] then return {3} end
shrink()
local caps = tonumber(ARGV[at])
for i = 1, caps do
  local key, limit = P .. 'cap:' .. ARGV[at+2*i-1], tonumber(ARGV[at+2*i])
  call('ZREMRANGEBYSCORE', key, '-inf', int(now - 86400000))
  -- Counted before the clock was put back: else it would count for as much longer.
  for _, ahead in ipairs(call('ZRANGEBYSCORE', key, '(' .. stamp, '+inf')) do
    call('ZADD', key, stamp, ahead)
    call('PEXPIRE', key, 86400000)
  end
  if not call('ZSCORE', key, id) and call('ZCARD', key) >= limit then
    return {4, ARGV[at+2*i-1]}
  end
end
for i = 1, caps do
  local key = P .. 'cap:' .. ARGV[at+2*i-1]
  call('ZADD', key, 'NX', stamp, id)
  call('PEXPIRE', key, 86400000)
end
local drop, mailed = {}, false
for i = 6, #names do
  if not f[names[i]] then drop[1] = 'losses' end -- progress; an intent is none
  mailed = mailed or names[i] == 's:email'
end
if ARGV[4] ~= '1' then drop = {} end
write(j, fields, {}, drop)
if ARGV[4] == '1' and mailed then call('ZREM', P .. 'follow', 'late ' .. id) end
if result == 2 then
  event(id, 'late result of ' .. ARGV[5] .. ' accepted from ' .. wid)
  view(id)
end
return {result}
