-- write: ARGV[at...] = set count, (field, value)..., delete count, fields... applied to a
-- job's hash; "@now@" in a value becomes Redis's time. also, drop: what the script itself
-- sets (field, value...) and deletes besides, in the same two commands. Sets come first:
-- a result is there before its intent goes.
local function write(j, at, also, drop)
  local set, del = also or {}, drop or {}
  for i = at + 1, at + 2*tonumber(ARGV[at]), 2 do
    local v = ARGV[i+1]
    set[#set+1] = ARGV[i]
    set[#set+1] = string.find(v, '@now@', 1, true) and string.gsub(v, '@now@', stamp) or v
  end
  at = at + 1 + 2*tonumber(ARGV[at])
  for i = at + 1, at + tonumber(ARGV[at]) do del[#del+1] = ARGV[i] end
  if #set > 0 then call('HSET', j, unpack(set)) end
  if #del > 0 then call('HDEL', j, unpack(del)) end
end
