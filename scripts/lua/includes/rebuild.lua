--- @include "int"
--- @include "plan_flag"
--- @include "worklist_of"
-- rebuild(flow, phases): count anew, from the states, what every node waits for; plan_step
-- does it, after what it has begun to mark or to reset
local function drop_worklist(name)
  local list = worklist_of(name, redis.call('HGET', keys.plan, name))
  for i = 1, list.below do redis.call('HDEL', keys.plan, name .. ':' .. int(i)) end
  redis.call('HDEL', keys.plan, name)
end

local function rebuild(flow, phases)
  local begun = redis.call('HGET', keys.plan, 'phases') or ''
  local first = string.match(begun, '^mark') or string.match(begun, '^reset')
  if first and not string.find(phases, first, 1, true) then phases = first .. ',' .. phases end
  redis.call('UNLINK', keys.missing)
  redis.call('HSET', keys.missing, '-', '')
  for _, name in ipairs({'to_open', 'to_hold', 'to_clear'}) do drop_worklist(name) end
  redis.call('HSET', keys.plan, 'phases', phases, 'cursor', 0, 'offset', 1)
  plan_flag(flow, true)
end
