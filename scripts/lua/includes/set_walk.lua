--- @include "plan_flag"
-- set_walk(flow, walk, number, depth): plan to visit all that comes after a node, as far as the
-- depth goes (see walk)
local function set_walk(flow, walk, number, depth)
  redis.call('SET', keys.reached, '', 'KEEPTTL')
  redis.call('HSET', keys.plan, 'walk', walk, 'depth', depth, 'frontier', number .. '@1')
  plan_flag(flow, true)
end
