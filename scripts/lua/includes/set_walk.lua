--- @include "plan_flag"
-- set_walk(flow, walk, number, depth, frontier): plan to visit all that comes after a node, as
-- far as the depth goes (see walk); frontier: what a walk that is on, of the same kind and as
-- deep, has before it
local function set_walk(flow, walk, number, depth, frontier)
  if not frontier then redis.call('SET', keys.reached, '') end
  redis.call('HSET', keys.plan, 'walk', walk, 'depth', depth,
    'frontier', (frontier and frontier .. ' ' or '') .. number .. '@1')
  plan_flag(flow, true)
end
