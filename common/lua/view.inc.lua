-- view: what the receiver may read of a job: no license, no address.
local function masked(s)
  return (string.gsub(s, '(%w?)[^%s<>%(%)%[%]:;,"@]*@', '%1***@'))
end

local function view(id, aside)
  local f = call('HMGET', job(id), 'state', 'ticket', 's:validate', 's:sign', 's:email',
    's:record', 's:close', 'err_class', 'err_text', 'issue_url', 'report_url', 'dup_of',
    'exp_ms')
  local steps = {}
  for i, name in ipairs({'validate', 'sign', 'email', 'record', 'close'}) do
    if f[2+i] then steps[#steps+1] = name end
  end
  local v = {job_id = id, status = f[1], steps = steps, updated_ms = now}
  if #steps == 0 then v.steps = nil end -- cjson would write {} for an empty list
  if f[8] then v.error = {class = f[8], text = masked(f[9] or '')} end
  if f[10] then v.issue_url = f[10] end
  if f[11] then v.report_url = f[11] end
  if f[12] then v.duplicate_of = f[12] end
  if f[13] then v.expires_ms = tonumber(f[13]) end
  local text = cjson.encode(v)
  if f[2] then -- in digits: cjson would round a number of more than 14
    text = '{"ticket_id":' .. f[2] .. ',' .. string.sub(text, 2)
  end
  call('SET', P .. 'view:' .. id, text, 'PX', keep())
  if not f[2] or f[12] then return end
  local there = aside and call('GET', P .. 'view:t:' .. f[2])
  if there and not string.find(there, '"job_id":"' .. id .. '"', 1, true) then return end
  call('SET', P .. 'view:t:' .. f[2], text, 'PX', keep())
end

-- After a follow-up: meanwhile the ticket's view may have become another job's.
local function review(id) view(id, true) end
