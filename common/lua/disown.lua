-- uses: prelude view
-- ARGV wid, the jobs that this worker has "id id..." -> {how many others were in its hands}
-- Claims whose answer it never read go back as if they had not been made.
local wid, known, n = ARGV[1], {}, 0
for id in string.gmatch(ARGV[2], '%S+') do known[id] = true end
shrink()
for _, id in ipairs(call('LRANGE', P .. 'proc:' .. wid, 0, -1)) do
  if not known[id] then
    local j = job(id)
    if call('HGET', j, 'owner') == wid then
      call('HINCRBY', j, 'fence', 1)
      call('HINCRBY', j, 'attempt', -1)
      call('HSET', j, 'state', 'queued')
      call('HDEL', j, 'owner')
      call('RPUSH', waits(id), id)
      event(id, 'given back: the answer to its claim was lost')
      view(id)
    end
    call('LREM', P .. 'proc:' .. wid, 1, id)
    n = n + 1
  end
end
return {n}
