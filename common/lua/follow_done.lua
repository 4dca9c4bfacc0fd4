-- uses: prelude write view shared
-- ARGV kind, id, token, delay_ms (-1: finished), then as in write
-- -> {1}; {0} if the item was scheduled anew meanwhile (it will run again), or, with nothing
-- written, was finished with this issue; {2}, and nothing is written, if the issue that it
-- speaks of is not the one that is known here
local kind, id, m = ARGV[1], ARGV[2], ARGV[1] .. ' ' .. ARGV[2]
local r, again = record(kind, id), ARGV[4] ~= '-1' and now + tonumber(ARGV[4])
local issue = call('HGET', r, 'report_iid')
local score = call('ZSCORE', P .. 'follow', m)
for i = 6, 5 + 2*tonumber(ARGV[5]), 2 do
  if ARGV[i] == 'report_iid' and issue and issue ~= ARGV[i+1] then return {2} end
  if ARGV[i] == 'report_iid' and issue and not score then return {0} end
end
if call('EXISTS', r) == 1 then
  write(r, 5)
  if kind ~= 'shared' then
    if not again then review(id) end
  elseif not again then
    local f = call('HMGET', r, 'count', 'taken')
    call('HSET', r, 'told_ms', stamp)
    again = f[1] ~= f[2] and now + PAUSE -- more have come meanwhile
  end
end
if not score or int(tonumber(score)) ~= ARGV[3] then return {0} end
if again then call('ZADD', P .. 'follow', again, m)
else call('ZREM', P .. 'follow', m) end
return {1}
