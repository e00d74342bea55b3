--- @include "rebuild"
--- @include "wake"
-- follow_edit(flow, atom): after an edit from outside, what is derived follows
local function follow_edit(flow, atom)
  if atom.node == '' or (flow.state ~= 'RUNNING' and flow.state ~= 'SUSPENDING') then return end
  rebuild(flow, 'forward,backward')
  wake(redis.call('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 1), 1)
end
