-- uses: prelude
-- ARGV how many, hold_ms
-- -> {now, next due, {kind, id, token, earlier intent, issue of the job that solved this
--     one, HGETALL}...}
-- The first to take a report writes the intent to create its issue; who finds one there
-- looks before it creates. An item stays in the set, pushed back by hold_ms: a worker that dies with it loses
-- nothing.
local out = {now, -1}
local hold = now + tonumber(ARGV[2])
local ready = call('ZRANGEBYSCORE', P .. 'follow', '-inf', int(now), 'LIMIT', 0, ARGV[1])
for _, m in ipairs(ready) do
  local kind, id = string.match(m, '^(%a+) (.+)$')
  local f = call('HMGET', job(id), 'state', 's:email', 'i:report', 'report_iid',
    'fixed_by')
  if not f[1] or kind == 'late' and (f[2] or f[1] == 'done' or f[1] == 'failed') then
    call('ZREM', P .. 'follow', m)
  else
    call('ZADD', P .. 'follow', hold, m)
    if not f[4] and not f[3] then call('HSET', job(id), 'i:report', int(now)) end
    local solved = f[5] and call('HGET', job(f[5]), 'issue_url') or ''
    out[#out+1] = {kind, id, int(hold), f[3] or '', solved, call('HGETALL', job(id))}
  end
end
local z = call('ZRANGE', P .. 'follow', 0, 0, 'WITHSCORES')
if z[2] then out[2] = tonumber(z[2]) end
return out
