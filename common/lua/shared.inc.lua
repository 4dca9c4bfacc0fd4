-- shared: past 30 reports of unreadable requests in an hour the rest share one issue, which
-- is known by an id of its own and counts them. A day after the last of them it is
-- forgotten; the next flood gets another.
local OWN, HOUR, DAY, PAUSE = 30, 3600000, 86400000, 5000

local function record(kind, id)
  return kind == 'shared' and P .. 'shared:' .. id or job(id)
end

-- May this report have an issue of its own? Counts it if so.
local function own_issue(id)
  local key = P .. 'invalid'
  call('ZREMRANGEBYSCORE', key, '-inf', int(now - HOUR))
  if not call('ZSCORE', key, id) and call('ZCARD', key) >= OWN then return false end
  call('ZADD', key, 'NX', stamp, id)
  call('PEXPIRE', key, HOUR)
  return true
end

-- Writes to GitLab are PAUSE apart, however many come.
local function tell_shared(id)
  local m = 'shared ' .. id
  if call('ZSCORE', P .. 'follow', m) then return end
  local told = tonumber(call('HGET', P .. 'shared:' .. id, 'told_ms') or 0)
  call('ZADD', P .. 'follow', math.max(now, told + PAUSE), m)
end

local function shared_issue(seed)
  local id = call('GET', P .. 'shared')
  if not id or call('EXISTS', P .. 'shared:' .. id) == 0 then
    id = string.sub(redis.sha1hex(seed .. stamp), 1, 26)
    call('HSET', P .. 'shared:' .. id, 'v', '1', 'state', 'failed', 'since_ms', stamp)
  end
  call('PEXPIRE', P .. 'shared:' .. id, DAY)
  call('SET', P .. 'shared', id, 'PX', DAY)
  return id
end

-- The job's report points at the shared issue, as soon as that has an address.
local function share(id)
  local j = job(id)
  local f = call('HMGET', j, 'report_shared', 'report_url')
  local shared = shared_issue(id)
  local s = P .. 'shared:' .. shared
  if f[1] ~= shared then
    local ids = call('HGET', s, 'ids')
    call('HINCRBY', s, 'count', 1)
    call('HSET', s, 'ids', string.sub(id .. (ids and ' ' .. ids or ''), 1, 10*27-1))
    call('HSET', j, 'report_shared', shared)
    tell_shared(shared)
  elseif f[2] then -- it failed once more: that issue is to be open
    tell_shared(shared)
  end
  local url = call('HGET', s, 'report_url')
  if url then
    call('HSET', j, 'report_url', url)
    call('ZREM', P .. 'follow', 'report ' .. id)
    review(id)
  else
    local many = tonumber(call('HGET', s, 'count')) -- do not look for each all the time
    call('ZADD', P .. 'follow', now + math.min(60000, 1000 + 20*many), 'report ' .. id)
  end
end
