-- audit: a line for what an operator's program did, written with it: WHEN, who, from where,
-- what, the job or '-', more; with tabs between them. Only the last may hold others. Workers
-- take the lines away that are past the retention (trim).
local AUDIT_MOST = 20000
local function audit(who, from, what, id, more)
  call('RPUSH', P .. 'audit', table.concat({stamp, who, from, what, id, more or ''}, '\t'))
  call('LTRIM', P .. 'audit', -AUDIT_MOST, -1)
  call('PEXPIRE', P .. 'audit', keep())
end
