--- @include "read"
-- read_plan(flow) -> plan: plan.busy tells whether a change of many records is in progress
local function read_plan(flow)
  if not flow.planned then return {busy = false, phases = '', phase = ''} end
  local p = read('HMGET', keys.plan, 'phases', 'cursor', 'offset', 'open_queue', 'clear_queue',
    'walk', 'depth', 'frontier', 'hold_queue')
  return {
    phases = p[1] or '', phase = string.match(p[1] or '', '^%a+') or '',
    cursor = tonumber(p[2]) or 0, offset = tonumber(p[3]) or 1,
    open_queue = p[4], clear_queue = p[5], walk = p[6], depth = p[7], frontier = p[8],
    hold_queue = p[9], busy = true,
  }
end
