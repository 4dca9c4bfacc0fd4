-- write: ARGV[at...] = set count, (field, value)..., delete count, fields... applied to a
-- job's hash. "@now@" in a value becomes Redis's time.
local function write(j, at)
  local sets, dels = 2 * tonumber(ARGV[at]), 0
  local values = {}
  for i = 1, sets do
    local v = ARGV[at + i]
    values[i] = string.find(v, '@now@', 1, true) and string.gsub(v, '@now@', int(now)) or v
  end
  if sets > 0 then call('HSET', j, unpack(values)) end
  dels = tonumber(ARGV[at + 1 + sets])
  if dels > 0 then call('HDEL', j, unpack(ARGV, at + 2 + sets, at + 1 + sets + dels)) end
end
