-- uses: prelude view ends reap audit remove
-- ARGV rule, subject, repair (0|1), who, newest version known, from, more...
-- -> {how many findings, (kind, detail, mended (0|1))...}
-- Who calls has looked without holding anything still: what it suspected is judged here,
-- in one moment, and mended in the same.
local rule, s, mend, who = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4]
local out = {0}
local is_job = {job = true, log = true, view = true, tell = true, recorded = true}

-- repair: a function; nil where nobody but a person can know what is right.
local function finding(kind, detail, repair)
  local mended = mend and repair and true
  if mended then
    repair()
    audit(who, ARGV[6], 'fsck', is_job[rule] and s or '-',
      kind .. (is_job[rule] and '' or ' ' .. rule .. ' ' .. s))
    count('mended')
  end
  out[1] = out[1] + 1
  out[#out+1], out[#out+2], out[#out+3] = kind, detail, mended and '1' or '0'
end

local function gone(id) return call('EXISTS', job(id)) == 0 end
-- Nothing is known of it any more but that it was there (forget).
local function forgotten(id) return call('EXISTS', P .. 'forgotten:' .. id) == 1 end

-- ---- where an id is ----

local ZSETS = {delayed = 'due_ms', failed = 'ended_ms', done = 'ended_ms'}

local function lists(f)
  local names, known = {}, {}
  local function add(name)
    if not known[name] then names[#names+1] = name end
    known[name] = true
  end
  add('pending')
  add('solo')
  if f.owner then add('proc:' .. f.owner) end
  for _, wid in ipairs(call('ZRANGE', P .. 'workers', 0, -1)) do add('proc:' .. wid) end
  for i = 7, #ARGV do add(ARGV[i]) end -- where it was seen
  return names
end

-- {name...}, {name: how often}
local function places(id, f)
  local names, at = {}, {}
  for _, name in ipairs(lists(f)) do
    if not ZSETS[name] then
      local n = #call('LPOS', P .. name, id, 'COUNT', 0)
      if n > 0 then names[#names+1], at[name] = name, n end
    end
  end
  for name in pairs(ZSETS) do
    if call('ZSCORE', P .. name, id) then names[#names+1], at[name] = name, 1 end
  end
  table.sort(names)
  return names, at
end

local function leave(id, names, home)
  for _, name in ipairs(names) do
    if name == home then -- nothing
    elseif ZSETS[name] then call('ZREM', P .. name, id)
    else call('LREM', P .. name, 0, id) end
  end
end

-- ---- a job ----

-- Where a job of this state belongs. An active one whose worker does not hold it is
-- nobody's: it waits again, and nothing that its worker still writes counts.
local function home_of(id, f, at)
  if f.state == 'active' then
    local proc = f.owner and 'proc:' .. f.owner
    return proc and at[proc] and proc
  elseif f.state == 'queued' then
    return at.solo and not at.pending and 'solo' or at.pending and 'pending'
  end
  return at[f.state] and f.state
end

local function settle(id, f, names, at)
  local home = home_of(id, f, at)
  if f.state == 'active' and not home then
    call('HINCRBY', job(id), 'fence', 1)
    call('HSET', job(id), 'state', 'queued')
    call('HDEL', job(id), 'owner')
    f.state, f.owner = 'queued', false
    home = home_of(id, f, at)
  end
  if home then
    if at[home] > 1 then call('LREM', P .. home, at[home] - 1, id) end
  elseif f.state == 'queued' then
    home = string.sub(waits(id), #P + 1)
    call('RPUSH', P .. home, id)
  else
    home = f.state
    call('ZADD', P .. home, f[ZSETS[home]] or stamp, id)
  end
  leave(id, names, home)
  event(id, who .. ' mended the queue: it was in '
    .. (names[1] and table.concat(names, ', ') or 'no list') .. ', and is in ' .. home)
  view(id)
end

-- A record that no worker would take, or could.
local function restore(id, f, names, at)
  if not f.raw then
    leave(id, names)
    return remove(id)
  end
  local v = string.sub(f.lic or '', 1, 7) == 'sealed:' and '2' or '1'
  for name, value in pairs({v = v, accepted_ms = stamp, attempt = '0', fence = '0'}) do
    call('HSETNX', job(id), name, value)
  end
  call('HSET', job(id), 'state', 'queued')
  call('HDEL', job(id), 'owner')
  f.state, f.owner = 'queued', false
  settle(id, f, names, at)
end

local function look_at_place(id, f)
  local names, at = places(id, f)
  local text = table.concat(names, ', ')
  if not f.state and not f.raw and gone(id) then
    if names[1] then finding('orphan', text, function() leave(id, names) remove(id) end) end
    return
  end
  if not f.v or not (ZSETS[f.state] or f.state == 'queued' or f.state == 'active') then
    return finding('unreadable', 'state ' .. (f.state or 'none') .. ', '
      .. (f.raw and 'with' or 'without') .. ' a request',
      function() restore(id, f, names, at) end)
  end
  local home, kind = home_of(id, f, at), nil
  if not names[1] then kind = 'nowhere'
  elseif not home then kind = 'astray'
  elseif #names > 1 or at[home] > 1 then kind = 'twice' end
  if kind then
    finding(kind, f.state .. (names[1] and ', in ' .. text or ''),
      function() settle(id, f, names, at) end)
  end
end

-- Another job of the ticket has been mailed: then its report was called off.
local function is_solved(f)
  if not f.ticket then return false end
  for _, other in ipairs(call('ZRANGE', P .. 'ticket:' .. f.ticket, 0, -1)) do
    local o = call('HMGET', job(other), 's:email', 'state')
    if o[1] and o[2] == 'done' then return true end
  end
  return false
end

local function look_at_job(id)
  local f = read(job(id), {'v', 'state', 'owner', 'raw', 'due_ms', 'ended_ms', 'ticket',
    'report_iid', 'report_url', 'lic'})
  if f.v and (tonumber(f.v) or math.huge) > tonumber(ARGV[5]) then return end
  look_at_place(id, f)
  if f.owner and f.state ~= 'active' then
    finding('owner', f.state .. ', of ' .. f.owner,
      function() call('HDEL', job(id), 'owner') end)
  end
  local due = f.state == 'delayed' and call('ZSCORE', P .. 'delayed', id)
  if due and not f.due_ms then
    finding('due', '', function() call('HSET', job(id), 'due_ms', int(tonumber(due))) end)
  end
  if f.state == 'failed' and not f.report_iid and not f.report_url
      and not call('ZSCORE', P .. 'follow', 'report ' .. id) and not is_solved(f) then
    finding('unreported', '',
      function() call('ZADD', P .. 'follow', stamp, 'report ' .. id) end)
  end
end

-- ---- what the tracker shows as recorded ----

-- Nobody may be at work: what a worker does with a job would be done beside this. One
-- whose lease ran out is dead; a paused worker reaps nobody. What is in the inbox has no
-- record yet that could be marked.
local function in_the_way()
  if call('EXISTS', P .. 'paused') == 0 then return 'the queue is not paused' end
  for _, wid in ipairs(call('ZRANGEBYSCORE', P .. 'workers', stamp, '+inf')) do
    local n = call('LLEN', P .. 'proc:' .. wid)
    if n > 0 then return n .. ' jobs are in the hands of worker ' .. wid end
  end
  local n = call('LLEN', P .. 'inbox')
  if n > 0 then return n .. ' requests are in the inbox; any worker takes them over' end
end

local function look_at_rest()
  local why = in_the_way()
  if why then finding('busy', why) end
end

-- more: iid, url, closed (0|1), when its license ends, req, digest, ticket, same key (the
-- last four '' where the record has them). A closed issue ends the job; one that is still
-- [Pending] is left to a worker, which has only to close it.
local function mark(id, f, iid, url, closed, ends, req, digest, ticket, same)
  local j, words = job(id), stamp .. ' 0 ' .. who .. ': seen in the tracker'
  local names = places(id, f)
  local set = {'iid', iid, 'issue_url', url, 'state', 'queued', 'attempt', '0'}
  local function add(name, value)
    set[#set+1], set[#set+2] = name, value
  end
  for _, step in ipairs({'validate', 'sign', 'email', 'record', closed and 'close' or nil}) do
    if not f['s:' .. step] then add('s:' .. step, words) end
  end
  if not f.exp_ms then add('exp_ms', ends) end
  if req ~= '' then
    add('req', req)
    add('digest', digest)
    add('ticket', ticket)
    add('same', same)
    call('SET', P .. 'same:' .. same, id, 'NX', 'PX', keep())
  end
  call('HSET', j, unpack(set))
  if f.owner then call('HINCRBY', j, 'fence', 1) end
  call('HDEL', j, 'owner', 'i:email', 'i:record', 'due_ms', 'ended_ms', 'err_class', 'err_step',
    'err_code', 'err_text', 'first_error_ms', 'losses')
  f = read(j, {'ticket', 's:email', unpack(REPORTED)})
  if f.ticket then of_ticket(id, f.ticket) end
  if closed then
    ended(id)
    leave(id, names, 'done')
    tell_success(id, f)
  else
    local waiting = call('LPOS', P .. 'pending', id)
    if not waiting then call('LPUSH', P .. 'pending', id) end
    leave(id, names, 'pending')
    call('ZREM', P .. 'follow', 'late ' .. id)
  end
  event(id, 'marked by ' .. who .. ': the tracker shows it as mailed and recorded, issue '
    .. iid)
  view(id)
end

local function look_at_recorded(id)
  local f = read(job(id), {'v', 'state', 'owner', 'dup_of', 'exp_ms', 'iid', 's:validate',
    's:sign', 's:email', 's:record', 's:close'})
  if not f.state or f.state == 'done' or f.dup_of or f.iid and f['s:record']
      or (tonumber(f.v) or math.huge) > tonumber(ARGV[5]) then return end
  local repair = not in_the_way() and function()
    mark(id, f, ARGV[7], ARGV[8], ARGV[9] == '1', unpack(ARGV, 10, 14))
  end
  finding('recorded', 'issue ' .. ARGV[7], repair)
end

-- ---- what belongs to jobs ----

local function look_at_own(name, id)
  if call('EXISTS', P .. name .. id) == 1 and gone(id) then
    finding('leftover', '', function() call('DEL', P .. name .. id) end)
  end
end

-- Or may be: a long inbox is not read.
local function in_inbox(id)
  if call('LLEN', P .. 'inbox') > 1000 then return true end
  for _, entry in ipairs(call('LRANGE', P .. 'inbox', 0, -1)) do
    if string.sub(entry, 1, 27) == id .. ' ' then return true end
  end
  return false
end

-- A receiver writes the view behind its entry; nobody has taken the entry over yet.
local function look_at_view(id)
  if gone(id) and not in_inbox(id) and not forgotten(id) then look_at_own('view:', id) end
end

-- more: the issue's url.
local function look_at_unknown(id)
  if gone(id) and not in_inbox(id) and not forgotten(id) then finding('unknown', ARGV[7]) end
end

local function look_at_pointer(name)
  local id = call('GET', P .. name)
  if id and gone(id) and not forgotten(id) then
    finding('leftover', '', function() call('DEL', P .. name) end)
  end
end

local function look_at_ticket(n)
  local lost = {}
  for _, id in ipairs(call('ZRANGE', P .. 'ticket:' .. n, 0, -1)) do
    if gone(id) then lost[#lost+1] = id end
  end
  if lost[1] then
    finding('leftover', #lost .. ' of its jobs', function()
      for _, id in ipairs(lost) do call('ZREM', P .. 'ticket:' .. n, id) end
    end)
  end
end

local function look_at_follow(m)
  local kind, id = string.match(m, '^(%a+) (.+)$')
  local key = kind == 'shared' and 'shared:' or 'job:'
  if call('ZSCORE', P .. 'follow', m) and not (id and call('EXISTS', P .. key .. id) == 1) then
    finding('leftover', m, function() call('ZREM', P .. 'follow', m) end)
  end
end

local function look_at_tell(id)
  if not gone(id) then return end
  for _, channel in ipairs({'slack', 'zendesk'}) do
    local set = P .. 'tell:' .. channel
    if call('ZSCORE', set, id) then
      finding('leftover', channel .. ' ' .. id, function() call('ZREM', set, id) end)
    end
  end
end

-- ---- keys, workers, counters ----

local function look_at_life(name)
  if call('PTTL', P .. name) == -1 then
    finding('immortal', '', function()
      call('PEXPIRE', P .. name, ARGV[7] ~= '' and ARGV[7] or keep())
    end)
  end
end

local function look_at_stranger(name)
  if call('EXISTS', P .. name) == 1 then finding('stranger', '') end
end

local function look_at_worker(wid)
  local n = call('LLEN', P .. 'proc:' .. wid)
  if n > 0 and not call('ZSCORE', P .. 'workers', wid) then
    finding('worker', n .. ' jobs', function() for _ = 1, 50 do reap(wid) end end)
  end
end

-- It cannot be less than what is there: all of that was counted once.
local function look_at_counter(name)
  local least = ARGV[7] ~= '' and tonumber(ARGV[7]) or call('ZCARD', P .. name)
  local is = call('HGET', P .. 'stat', name)
  if (tonumber(is or 0) or -1) < least then
    finding('counter', name .. ' is ' .. (is or '0') .. ', there are ' .. int(least),
      function() call('HSET', P .. 'stat', name, int(least)) end)
  end
end

local rules = {
  job = look_at_job, log = function(id) look_at_own('log:', id) end, view = look_at_view,
  pointer = look_at_pointer, ticket = look_at_ticket, follow = look_at_follow,
  tell = look_at_tell,
  life = look_at_life, stranger = look_at_stranger, worker = look_at_worker,
  counter = look_at_counter, recorded = look_at_recorded,
  rest = look_at_rest, unknown = look_at_unknown,
}
rules[rule](s)
return out
