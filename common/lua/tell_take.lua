-- uses: prelude view ends shared
-- ARGV channel ('': none, only the last is said), hold_ms, channels that this worker has
-- -> {now, next due} and, where there is something to tell, {now, next due, id, token,
--    event, earlier intent, tries, since when, HGETALL}
-- What is told is what is so by now: a job that was late, and is done before anybody could
-- be told, is done. Each event of a job is told once: "late", "failed", "done", with the
-- number of the run behind it when it was run again. The first to take one writes the
-- intent; who finds one there looks before telling. Held as in follow_take.
local channel, hold = ARGV[1], now + tonumber(ARGV[2])
local SOON, PATIENCE = 500, 5000 -- for the failure issue, whose link is told, too
if (setting('tell') or '') ~= ARGV[3] then
  call('HSET', P .. 'cfg', 'tell', ARGV[3])
  said = nil
end
if channel == '' then return {now, -1} end
local set, told = P .. 'tell:' .. channel, 'told:' .. channel
local intent, tries = 'i:' .. channel, 'tries:' .. channel

-- Also while nobody can take the late reports, since GitLab is out of reach.
for _, m in ipairs(call('ZRANGEBYSCORE', P .. 'follow', '-inf', stamp, 'LIMIT', 0, 500)) do
  local id = string.match(m, '^late (.+)$')
  local f = id and read(job(id), {'state', 's:email', 'late_ms'})
  if f and f.state and not f.late_ms and not f['s:email'] and f.state ~= 'done'
      and f.state ~= 'failed' then
    tell_late(id)
  end
end

local function event_of(f)
  if f.dup_of or f.discarded then return end
  if f.state ~= 'done' and f.state ~= 'failed' then
    return f.late_ms and not f['s:email'] and 'late'
  end
  local run = 1 + (f.requeues or 0) + (f.reruns or 0)
  return run > 1 and f.state .. ' ' .. int(run) or f.state
end

-- Those that share an issue are told of by it alone.
local function is_flood(id, f)
  return f.state == 'failed' and f.err_class == 'invalid'
    and (f.report_shared or not own_issue(id))
end

local function give(id, f, what, since)
  local at, before = string.match(f[intent] or '', '^(%d+) (.+)$')
  if before ~= what then
    at = ''
    call('HSET', job(id), intent, stamp .. ' ' .. what)
    call('HDEL', job(id), tries)
  end
  call('ZADD', set, hold, id)
  return id, int(hold), what, at, at ~= '' and f[tries] or '0', int(since),
    hash(job(id))
end

local out = {now, -1}
for _, id in ipairs(call('ZRANGEBYSCORE', set, '-inf', stamp, 'LIMIT', 0, 100)) do
  local f = read(job(id), {'state', 's:email', 'dup_of', 'discarded', 'late_ms', 'ended_ms',
    'requeues', 'reruns', 'ticket', 'err_class', 'report_url', 'report_shared', told, intent,
    tries})
  local what = event_of(f)
  local since = tonumber(what ~= 'late' and f.ended_ms or f.late_ms or now)
  if not what or f[told] == what or channel == 'zendesk' and not f.ticket
      or is_flood(id, f) then
    call('ZREM', set, id)
  elseif f.state ~= 'done' and not f.report_url and now - since < PATIENCE then
    call('ZADD', set, now + SOON, id)
  else
    out = {now, -1, give(id, f, what, since)}
    break
  end
end
local z = call('ZRANGE', set, 0, 0, 'WITHSCORES')
if z[2] then out[2] = tonumber(z[2]) end
return out
