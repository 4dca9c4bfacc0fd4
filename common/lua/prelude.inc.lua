-- prelude: in front of every script. KEYS[1] is the prefix; all keys share its hash slot.
-- Redis's clock is the only clock. A script whose first write shrinks is let through by a
-- full Redis: those that finish work begin with shrink().
local call = redis.call
local P = KEYS[1]
local clock = call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2]/1000)
local function int(n) return string.format('%d', n) end
local stamp = int(now)
local function job(id) return P .. 'job:' .. id end
-- Where a job waits: one that lost two workers runs alone, also when a newer record
-- has waited for a newer worker.
local function waits(id)
  local losses = tonumber(call('HGET', job(id), 'losses') or 0)
  return P .. (losses >= 2 and 'solo' or 'pending')
end
local function shrink() call('HDEL', P .. 'stat', '_') end
local function count(what, n) call('HINCRBY', P .. 'stat', what, n or 1) end
local function event(id, what)
  call('RPUSH', P .. 'log:' .. id, stamp .. ' ' .. what)
  call('LTRIM', P .. 'log:' .. id, -200, -1)
end
-- Fields of a hash by name; what is not there is false.
local function read(key, names)
  local values, out = call('HMGET', key, unpack(names)), {}
  for i, name in ipairs(names) do out[name] = values[i] end
  return out
end
-- A job's hash, as programs are given it. Of a request that is too long to be one they get
-- the first part, and its length besides: a reply must not grow past what they read.
local function hash(key)
  local h = call('HGETALL', key)
  for n = 1, #h, 2 do
    local length = h[n] == 'raw' and #h[n+1] or 0
    if length > 32768 then
      h[n+1] = string.sub(h[n+1], 1, 32768)
      h[#h+1], h[#h+2] = 'raw_bytes', int(length)
    end
  end
  return h
end
-- What the last worker said of its settings; asked once a script.
local said
local function setting(name)
  said = said or read(P .. 'cfg', {'retention_ms', 'tell'})
  return said[name]
end
-- How long what people may ask for is kept.
local function keep() return setting('retention_ms') or '2592000000' end
