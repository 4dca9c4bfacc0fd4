-- uses: prelude
-- ARGV retention_ms -> {how many jobs were removed, with everything of theirs, and audit
-- lines}
local n = 0
for _, set in ipairs({'done', 'failed'}) do
  local old = call('ZRANGEBYSCORE', P .. set, '-inf', int(now - tonumber(ARGV[1])), 'LIMIT',
    0, 50)
  for _, id in ipairs(old) do
    local f = call('HMGET', job(id), 'same', 'idem', 'ticket')
    for i, key in ipairs({'same:', 'idem:'}) do
      if f[i] and call('GET', P .. key .. f[i]) == id then
        call('DEL', P .. key .. f[i])
      end
    end
    if f[3] then call('ZREM', P .. 'ticket:' .. f[3], id) end
    call('ZREM', P .. 'follow', 'report ' .. id, 'late ' .. id)
    call('ZREM', P .. 'tell:slack', id)
    call('ZREM', P .. 'tell:zendesk', id)
    call('DEL', job(id), P .. 'log:' .. id, P .. 'view:' .. id)
    call('ZREM', P .. set, id)
    n = n+1
  end
end
local before = now - tonumber(ARGV[1])
for _ = 1, 200 do
  local line = call('LINDEX', P .. 'audit', 0)
  if not line or tonumber(string.match(line, '^%d+') or 0) > before then break end
  call('LPOP', P .. 'audit')
  n = n+1
end
return {n}
