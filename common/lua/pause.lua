-- uses: prelude audit
-- ARGV pause (0|1: resume), reason, who, from -> {'OK', changed (0|1)}
local key, reason, who = P .. 'paused', ARGV[2], ARGV[3]
if ARGV[1] == '1' then
  call('SET', key, stamp .. ' ' .. who .. ' ' .. reason)
  audit(who, ARGV[4], 'pause', '-', reason)
  return {'OK', '1'}
end
if call('EXISTS', key) == 0 then return {'OK', '0'} end
call('DEL', key)
audit(who, ARGV[4], 'resume', '-')
return {'OK', '1'}
