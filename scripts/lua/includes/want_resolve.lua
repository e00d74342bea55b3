--- @include "item_of"
-- want_resolve(flow, atom, score): a failure to be resolved, before anything else: failures in
-- the order in which they came, so one that was taken before keeps the score that it had
local function want_resolve(flow, atom, score)
  redis.call('ZADD', keys.ready, score or flow.rev - 9e15, item_of(atom.node, 'resolve'))
end
