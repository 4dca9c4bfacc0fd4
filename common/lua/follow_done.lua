-- uses: prelude write
-- ARGV kind, id, token, delay_ms (-1: finished), then as in write
-- -> {1}; {0} if the item was scheduled anew meanwhile (it will run again)
local id, m = ARGV[2], ARGV[1] .. ' ' .. ARGV[2]
if call('EXISTS', job(id)) == 1 then write(job(id), 5) end
local score = call('ZSCORE', P .. 'follow', m)
if not score or int(tonumber(score)) ~= ARGV[3] then return {0} end
if ARGV[4] == '-1' then call('ZREM', P .. 'follow', m)
else call('ZADD', P .. 'follow', now+tonumber(ARGV[4]), m) end
return {1}
