-- uses: prelude remove lane audit
-- ARGV id or '', do it (0|1), who, from, newest version known, key of the address's cap,
-- address...
-- -> {'OK'} | {'NONE'} | {'NEWER'} | {'STATE', state} | {'REPORT'}: its failure issue waits
-- to be written, or is just being. Without an id: the addresses become *** in words that are
-- nobody's job: of the audit, a pause, closed lanes. {'OK', in how many}
-- What is left of a job: that there was one with this id, and the key of its request, so that
-- a replay makes no second license. Nothing of it is made from an address or a ticket.
local id, doing, who, from = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4]

-- Not the end or the start of a longer one: as forget_needle.c has it.
local function stands_alone(text, first, last)
  local before, after = string.sub(text, first-1, first-1), string.sub(text, last+1, last+2)
  if before == "'" then return string.sub(after, 1, 1) == "'" end
  return not string.find(before, '[%w.!#$%%&*+%-?^_{|}~]') and not string.find(after, '^[%w_-]')
    and not string.find(after, '^%.%w')
end

local function masked_words(text)
  local out, low = text, string.lower(text)
  for i = 7, #ARGV do
    local at = 1
    while true do
      local first, last = string.find(low, ARGV[i], at, true)
      if not first then break end
      at = first + 1
      if stands_alone(out, first, last) then
        out = string.sub(out, 1, first-1) .. '***' .. string.sub(out, last+1)
        low, at = string.lower(out), first + 3
      end
    end
  end
  return out ~= text and out
end

local function mask_all()
  local n = 0
  local function mask(text, put)
    local out = text and masked_words(text)
    if out then
      n = n + 1
      if doing then put(out) end
    end
  end
  for i, line in ipairs(call('LRANGE', P .. 'audit', 0, -1)) do
    mask(line, function(out) call('LSET', P .. 'audit', i-1, out) end)
  end
  mask(call('GET', P .. 'paused'), function(out) call('SET', P .. 'paused', out) end)
  for _, name in ipairs(LANES) do
    mask(call('HGET', lane_key(name), 'text'),
      function(out) call('HSET', lane_key(name), 'text', out) end)
  end
  return n
end

if doing then shrink() end
if id == '' then
  local n = mask_all()
  if doing and n > 0 then audit(who, from, 'forget', '-', n .. ' lines masked') end
  return {'OK', int(n)}
end
local f = read(job(id), {'v', 'state'})
if not f.state then return {'NONE'} end
if (tonumber(f.v) or math.huge) > tonumber(ARGV[5]) then return {'NEWER'} end
if f.state ~= 'done' and f.state ~= 'failed' then return {'STATE', f.state} end
if call('ZSCORE', P .. 'follow', 'report ' .. id) then return {'REPORT'} end
if not doing then return {'OK'} end
call('SET', P .. 'forgotten:' .. id, stamp, 'PX', keep())
remove(id, true)
call('SET', P .. 'view:' .. id, cjson.encode({job_id = id, status = f.state}), 'PX', keep())
if ARGV[6] ~= '' then call('ZREM', P .. 'cap:' .. ARGV[6], id) end
call('ZREM', P .. f.state, id)
audit(who, from, 'forget', id)
count('forgotten')
return {'OK'}
