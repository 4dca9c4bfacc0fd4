-- uses: prelude lane
-- ARGV wid, lane, verb (ask | close | extend | open), ms, class, code, text
-- -> 0 open, 1 open to you alone, as the probe, 2 closed; how many jobs are delayed; until,
-- class, code, text, by whom
-- ask: whoever asks first when its time has passed is the probe, and the next one may ask ms
-- later. close, extend: for ms at least; what was asked for before is not cut short, and
-- extend changes nothing of a lane that somebody has opened meanwhile. open: those that
-- waited for it are woken: one at once, two in the next 200 ms, four in the next, and so on.
shrink()
local wid, name, verb, ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local key, WAKE, KEEP = lane_key(name), 5000, 3600000
local at = tonumber(call('HGET', key, 'until_ms') or -1)

local function shut(till)
  call('HSET', key, 'until_ms', int(till))
  call('PEXPIRE', key, int(till - now + KEEP))
end

local function wake()
  local n = 0
  for _, id in ipairs(call('ZRANGE', P .. 'delayed', 0, WAKE-1)) do
    if call('HGET', job(id), 'lane') == name then
      local due = int(now + 200*math.log(1+n/2)/math.log(2))
      call('ZADD', P .. 'delayed', due, id)
      call('HSET', job(id), 'due_ms', due)
      n = n + 1
    end
  end
end

local state = at < 0 and 0 or 2
if verb == 'ask' then
  if at >= 0 and at <= now then
    shut(now + ms)
    call('HSET', key, 'probe', wid)
    state = 1
  end
elseif verb == 'close' or verb == 'extend' and at >= 0 then
  call('HSET', key, 'by', wid, 'class', ARGV[5], 'code', ARGV[6], 'text', ARGV[7])
  call('HSETNX', key, 'since_ms', stamp)
  shut(math.max(at, now + ms))
  state = 2
elseif verb == 'open' and at >= 0 then
  call('DEL', key)
  wake()
  state = 0
end
return {state, call('ZCARD', P .. 'delayed'), unpack(lane_told(name))}
