--- @include "read"
-- read_plan(flow) -> plan: plan.busy tells whether a change of many records is in progress, and
-- plan.phase what the pass over the nodes that is on now does, if any
local function read_plan(flow)
  if not flow.planned then return {busy = false, phases = '', phase = ''} end
  local found = read('HMGET', keys.plan, 'phases', 'cursor')
  return {
    busy = true, phases = found[1] or '', phase = string.match(found[1] or '', '^%a+') or '',
    cursor = tonumber(found[2]) or 0,
  }
end
