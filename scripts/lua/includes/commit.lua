--- @include "commit_flow"
-- commit(flow, now): write what the script has gathered: changes, and the flow's own hash
local function commit(flow, now)
  local changes = flow.changes
  for first = 1, #changes, 2000 do
    redis.call('ZADD', keys.changes, unpack(changes, first, math.min(first + 1999, #changes)))
  end
  commit_flow(flow, now)
end
