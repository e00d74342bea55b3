--- @include "plan_flag"
-- rebuild(flow, phases): count anew, from the states, what every node waits for; plan_step
-- does it, after what it has begun to mark or to reset
local function rebuild(flow, phases)
  local begun = redis.call('HGET', keys.plan, 'phases') or ''
  local first = string.match(begun, '^mark') or string.match(begun, '^reset')
  if first and not string.find(phases, first, 1, true) then phases = first .. ',' .. phases end
  redis.call('UNLINK', keys.missing)
  redis.call('HSET', keys.missing, '-', '')
  redis.call('HDEL', keys.plan, 'open_queue', 'hold_queue', 'clear_queue')
  redis.call('HSET', keys.plan, 'phases', phases, 'cursor', 0, 'offset', 1)
  plan_flag(flow, true)
end
