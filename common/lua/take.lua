-- uses: prelude view ends adopt reap due
-- ARGV wid, want, reap (0|1), late_ms, newest version known, idle (0|1: nothing in flight
-- here), seed, most to adopt
-- -> 'OK' | 'PAUSED' | 'EXPIRED', now, due, solo waiting (0|1), {id, solo, HGETALL}...
local wid, want = ARGV[1], tonumber(ARGV[2])
local lease = call('ZSCORE', P .. 'workers', wid)
if not lease or tonumber(lease) < now then return {'EXPIRED', now, -1, 0} end
shrink()
if ARGV[3] == '1' then
  local dead = call('ZRANGEBYSCORE', P .. 'workers', '-inf', '(' .. stamp, 'LIMIT', 0, 5)
  for _, other in ipairs(dead) do reap(other) end
end
local ready = call('ZRANGEBYSCORE', P .. 'delayed', '-inf', stamp, 'LIMIT', 0, 100)
for _, id in ipairs(ready) do
  call('HSET', job(id), 'state', 'queued')
  call('HDEL', job(id), 'due_ms', 'lane')
  call('LPUSH', waits(id), id)
  call('ZREM', P .. 'delayed', id)
end
adopt_all(ARGV[7], ARGV[8], ARGV[4])
local out = {'OK', now, -1, 0}
if call('EXISTS', P .. 'paused') == 1 then
  out[1], out[3] = 'PAUSED', due(wid, ARGV[3] == '1')
  return out
end
local from = P .. 'pending'
if call('EXISTS', P .. 'solo') == 1 then
  out[4] = 1
  if ARGV[6] == '1' then from = P .. 'solo'; want = math.min(want, 1) end
end
for i = 1, want do
  local id = call('LMOVE', from, P .. 'proc:' .. wid, 'RIGHT', 'LEFT')
  if not id then break end
  local j = job(id)
  local record, at = hash(j), {}
  for n = 1, #record, 2 do at[record[n]] = n+1 end
  local function number(name) return tonumber(record[at[name] or 0]) end
  if not at.v then
    call('LREM', P .. 'proc:' .. wid, 1, id)
    count('orphaned')
  elseif (number('v') or math.huge) > tonumber(ARGV[5]) then
    call('HSET', j, 'state', 'delayed', 'due_ms', int(now + 30000))
    call('ZADD', P .. 'delayed', now + 30000, id)
    call('LREM', P .. 'proc:' .. wid, 1, id)
    count('newer')
  else
    local claim = {'state', 'active', 'owner', wid, 'started_ms', stamp,
      'attempt', int((number('attempt') or 0) + 1), 'fence', int((number('fence') or 0) + 1)}
    call('HSET', j, unpack(claim))
    for n = 1, #claim, 2 do
      local i = at[claim[n]] or #record+2
      record[i-1], record[i] = claim[n], claim[n+1]
    end
    out[#out+1] = {id, from == P .. 'solo' and 1 or 0, record}
  end
end
out[3] = due(wid, ARGV[3] == '1')
return out
