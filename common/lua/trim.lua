-- uses: prelude remove
-- ARGV retention_ms -> {how many jobs were removed, with everything of theirs, and audit
-- lines}
shrink()
local n = 0
for _, set in ipairs({'done', 'failed'}) do
  local old = call('ZRANGEBYSCORE', P .. set, '-inf', int(now - tonumber(ARGV[1])), 'LIMIT',
    0, 50)
  for _, id in ipairs(old) do
    remove(id)
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
