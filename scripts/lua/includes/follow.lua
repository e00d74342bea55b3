--- @include "links"
--- @include "read_node"
-- follow(list, way, most) -> numbers: the next links of the last node of a worklist; those that
-- are left to follow stay on it
local function follow(list, way, most)
  local number, first = unpack(table.remove(list))
  local found, rest = links(read_node(number), way, first, most)
  if rest then list[#list + 1] = {number, rest} end
  return found
end
