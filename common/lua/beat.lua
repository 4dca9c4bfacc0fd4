-- uses: prelude view ends adopt due lane clock
-- ARGV wid, lease_ms, late_ms, retention_ms, seed, most to adopt, which server this is
-- ('': nobody knows), (field, value)...
-- -> known (0 new, 1 alive, 2 revived), now, paused, jobs ready, due, follow-up due, jobs
-- in this worker's hands, lanes that are closed: name and as in lane, when another server
-- took over
shrink()
local wid, info = ARGV[1], P .. 'winfo:' .. ARGV[1]
watch_clock(tonumber(ARGV[3]))
local old = call('ZSCORE', P .. 'workers', wid)
call('ZADD', P .. 'workers', now+tonumber(ARGV[2]), wid)
local before = call('HGET', info, 'server')
call('HSET', info, 'beat_ms', stamp, unpack(ARGV, 8))
call('PEXPIRE', info, 60000+10*tonumber(ARGV[2]))
call('HSET', P .. 'cfg', 'retention_ms', ARGV[4])
-- After a failover: what the old primary was told last is perhaps not known here. Each
-- worker's own move counts: two sentinels may have two names for one server.
local cfg = read(P .. 'cfg', {'server', 'moved_ms'})
if ARGV[7] ~= '' then
  before = before or cfg.server
  call('HSET', info, 'server', ARGV[7])
  if before ~= ARGV[7] then call('HSET', P .. 'cfg', 'server', ARGV[7]) end
  if before and before ~= ARGV[7] then
    cfg.moved_ms = stamp
    call('HSET', P .. 'cfg', 'moved_ms', stamp)
  end
end
adopt_all(ARGV[5], ARGV[6], ARGV[3])
local f = call('ZRANGE', P .. 'follow', 0, 0, 'WITHSCORES')
local known = 0
if old then known = tonumber(old) < now and 2 or 1 end
local lanes = {}
for _, name in ipairs(LANES) do
  local told = lane_told(name)
  if told[1] >= 0 then lanes[#lanes+1] = {name, unpack(told)} end
end
local ready = call('LLEN', P .. 'pending') + call('LLEN', P .. 'solo')
return {known, now, call('EXISTS', P .. 'paused'), ready, due(wid, true), tonumber(f[2] or -1),
  call('LLEN', P .. 'proc:' .. wid), lanes, tonumber(cfg.moved_ms or 0)}
