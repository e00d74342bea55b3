--- @include "item_of"
-- want_resolve(flow, atom): a failure to be resolved, before anything else, in this order
local function want_resolve(flow, atom)
  redis.call('ZADD', keys.ready, flow.rev - 1e15, item_of(atom.node, 'resolve'))
end
