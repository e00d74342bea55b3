--- @include "rebuild"
--- @include "wake"
-- follow_edit(flow, atom): after an edit from outside, what is derived follows, unless it is
-- counted anew when the flow is run
local function follow_edit(flow, atom)
  local runs = flow.state == 'RUNNING' or flow.state == 'SUSPENDING'
    or (flow.planned and redis.call('HEXISTS', keys.plan, 'launch') == 1)
  if atom.node == '' or not runs then return end
  rebuild(flow, 'forward,backward')
  wake(redis.call('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 1), 1)
end
