--- @include "rebuild"
-- put_back(flow, node, atom, item): an atom whose deciders were asked waits again, or, if it is
-- to be reverted by now, no longer keeps others from that
local function put_back(flow, node, atom, item)
  if atom.state ~= 'PENDING' then return end
  if atom.intention == 'EXECUTE' then
    redis.call('ZADD', keys.ready, -node.priority, item)
  else
    rebuild(flow, 'forward,backward')
  end
end
