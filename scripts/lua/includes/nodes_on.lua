--- @include "int"
--- @include "worklist_of"
-- nodes_on(list) -> set: the numbers of all its nodes, of those below, too
local function nodes_on(list)
  local found = {}
  for _, entry in ipairs(list) do found[tonumber(entry[1])] = true end
  for i = 1, list.below do
    local text = redis.call('HGET', keys.plan, list.name .. ':' .. int(i))
    for _, entry in ipairs(worklist_of(list.name, text)) do found[tonumber(entry[1])] = true end
  end
  return found
end
