-- uses: prelude view ends
-- ARGV id, wid, fence, outcome text, target -> ends a resend request as pointer at its
-- target. {1} | {0}
local id, wid, fence = ARGV[1], ARGV[2], ARGV[3]
local j = job(id)
local f = call('HMGET', j, 'owner', 'fence')
if f[1] ~= wid or f[2] ~= fence then return {0} end
shrink()
ended(id)
call('HSET', j, 'dup_of', ARGV[5], 'last', wid .. ' ' .. fence .. ' dup')
call('HDEL', j, 'owner')
call('LREM', P .. 'proc:' .. wid, 1, id)
event(id, ARGV[4])
view(id)
return {1}
