-- due: when something will be due: a delayed job, another worker's lease. -1: nothing.
local function due(wid)
  local at = -1
  local function earlier(key)
    local z = call('ZRANGE', P .. key, 0, 1, 'WITHSCORES')
    for i = 1, #z, 2 do
      local s = tonumber(z[i+1])
      if z[i] ~= wid and (at < 0 or s < at) then at = s end
    end
  end
  earlier('delayed')
  earlier('workers')
  return at
end
