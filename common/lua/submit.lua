-- uses: prelude audit
-- ARGV id, request, who, from, by what: submit | reconcile -> {'OK'}
-- Onto the public list, as any program may do it, with the line that an operator owes. Safe
-- to repeat: the same bytes under the same id are one job.
call('LPUSH', P .. 'inbox', ARGV[1] .. ' ' .. ARGV[2])
audit(ARGV[3], ARGV[4], ARGV[5], ARGV[1])
return {'OK'}
