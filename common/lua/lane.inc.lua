-- lane: an outside system that is closed to jobs. No key: it is open.
local LANES = {'smtp', 'gitlab', 'slack', 'zendesk', 'zendesk_note'}
local function lane_key(name) return P .. 'lane:' .. name end

-- {until, class, code, text, by whom}; until -1: open.
local function lane_told(name)
  local f = call('HMGET', lane_key(name), 'until_ms', 'class', 'code', 'text', 'by')
  return {tonumber(f[1] or -1), f[2] or '', tonumber(f[3] or 0), f[4] or '', f[5] or ''}
end
