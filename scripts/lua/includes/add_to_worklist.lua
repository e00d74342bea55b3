--- @include "keep_worklist"
--- @include "worklist_of"
-- add_to_worklist(name, entries): put nodes, as {number, first link}, on one that may be there
local function add_to_worklist(name, entries)
  local list = worklist_of(name, redis.call('HGET', keys.plan, name))
  for _, entry in ipairs(entries) do list[#list + 1] = entry end
  keep_worklist(list)
end
