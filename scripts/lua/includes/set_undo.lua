--- @include "passes"
--- @include "place_of"
--- @include "set_walk"
-- set_undo(flow, node, passed, total): plan to have a controller's atom and all that comes after
-- it undone. The walk marks them; then hold raises what waits for those of them that have
-- passed so far; then a pass over them alone counts what each waits for before its own revert.
-- passed: whether the controller was one that has passed
local function set_undo(flow, node, passed, total)
  set_walk(flow, 'revert', node, 'ALL')
  redis.call('SETBIT', keys.reached, place_of(node, total), 1)
  redis.call('HDEL', keys.missing, node .. ':revert')
  redis.call('HSET', keys.plan, 'phases', 'undo', 'cursor', 0, 'offset', 1)
  if passed then redis.call('HSET', keys.plan, 'to_hold', node .. '@1') end
end
