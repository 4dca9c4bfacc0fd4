-- uses: prelude write
-- ARGV channel, id, token, delay_ms (-1: finished), the event that is settled or '', words
-- for the timeline, counter, then as in write
-- -> {1}; {0} if the item was scheduled anew meanwhile
-- Safe to repeat: an event is settled, and counted, once.
local id, told = ARGV[2], 'told:' .. ARGV[1]
local j, set = job(id), P .. 'tell:' .. ARGV[1]
if call('EXISTS', j) == 1 then
  write(j, 8)
  if ARGV[5] ~= '' and call('HGET', j, told) ~= ARGV[5] then
    call('HSET', j, told, ARGV[5])
    call('HDEL', j, 'i:' .. ARGV[1], 'tries:' .. ARGV[1])
    event(id, ARGV[6])
    count(ARGV[7])
  end
end
local score = call('ZSCORE', set, id)
if not score or int(tonumber(score)) ~= ARGV[3] then return {0} end
if ARGV[4] == '-1' then call('ZREM', set, id)
else call('ZADD', set, now + tonumber(ARGV[4]), id) end
return {1}
