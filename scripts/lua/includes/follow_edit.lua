--- @include "rebuild"
-- follow_edit(flow, atom) -> wake: after an edit from outside, what is derived follows
local function follow_edit(flow, atom)
  if atom.node == '' or (flow.state ~= 'RUNNING' and flow.state ~= 'SUSPENDING') then
    return {}
  end
  rebuild(flow, 'forward,backward')
  local wake = redis.call('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 1)
  if wake[1] then redis.call('ZREM', keys.idle, wake[1]) end
  return wake
end
