-- due: when something will be due: a delayed job, another worker's lease. -1: nothing.
-- A lease that has run out is nothing to one that does not reap yet.
local function due(wid, reaping)
  local at = -1
  local function earlier(key, from)
    local z = call('ZRANGEBYSCORE', P .. key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, 2)
    for i = 1, #z, 2 do
      local s = tonumber(z[i+1])
      if z[i] ~= wid and (at < 0 or s < at) then at = s end
    end
  end
  earlier('delayed', '-inf')
  earlier('workers', reaping and '-inf' or stamp)
  return at
end
