-- uses: prelude view ends shared
-- ARGV how many, hold_ms
-- -> {now, next due, {kind, id, token, earlier intent, issue of the job that solved this
--     one, HGETALL}...}; a shared issue has since when, how many and the last ids besides
-- The first to take a report writes the intent to create its issue; who finds one there
-- looks before it creates. An item stays in the set, pushed back by hold_ms: a worker that
-- dies with it loses nothing. Reports that share an issue need nobody: they end here.
local out = {now, -1}
local most, hold = tonumber(ARGV[1]), now + tonumber(ARGV[2])
local ready = call('ZRANGEBYSCORE', P .. 'follow', '-inf', stamp, 'LIMIT', 0, 200)

local function shares(id, f)
  return f[1] == 'failed' and f[6] == 'invalid' and not f[3] and not f[4]
    and not own_issue(id)
end

local function give(m, kind, id, f)
  local r = record(kind, id)
  call('ZADD', P .. 'follow', hold, m)
  if not f[4] and not f[3] then call('HSET', r, 'i:report', stamp) end
  local solved = f[5] and call('HGET', job(f[5]), 'issue_url') or ''
  local given = {kind, id, int(hold), f[3] or '', solved, hash(r)}
  if kind == 'shared' then
    local s = call('HMGET', r, 'since_ms', 'count', 'ids')
    call('HSET', r, 'taken', s[2])
    for i = 1, 3 do given[6+i] = s[i] end
  end
  out[#out+1] = given
end

for _, m in ipairs(ready) do
  if #out - 2 >= most then break end
  local kind, id = string.match(m, '^(%a+) (.+)$')
  local f = call('HMGET', record(kind, id), 'state', 's:email', 'i:report', 'report_iid',
    'fixed_by', 'err_class')
  if not f[1] or kind == 'late' and (f[2] or f[1] == 'done' or f[1] == 'failed') then
    call('ZREM', P .. 'follow', m)
  elseif kind == 'report' and shares(id, f) then
    share(id)
  else
    if kind == 'late' then tell_late(id) end
    give(m, kind, id, f)
  end
end
local z = call('ZRANGE', P .. 'follow', 0, 0, 'WITHSCORES')
if z[2] then out[2] = tonumber(z[2]) end
return out
