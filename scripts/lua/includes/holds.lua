--- @include "read"
-- holds(worker, token, item) -> bool: whether a work item is claimed by this worker
local function holds(worker, token, item)
  return read('HGET', keys.claims, item) == worker .. ' ' .. token
end
