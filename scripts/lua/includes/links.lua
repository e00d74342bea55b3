--- @include "link_fields"
--- @include "read"
-- links(node, way, first, most) -> numbers, rest: what comes 'after' a node, or 'before' it, from
-- the first-th on and no more than so many; rest: the position of the next, or nil. A node
-- with more than LINKS_IN_FIELD of them has only their count in its record, and has them in
-- fields of their own, so that nothing is read of a wide gate but what is walked
local function links(node, way, first, most)
  local found, position, last = {}, 0, first + most - 1
  local function add(text)
    for link in string.gmatch(text, '%d+') do
      position = position + 1
      if position >= first and position <= last then found[#found + 1] = link end
    end
  end
  local fields, count = link_fields(node[way])
  if fields == 0 then add(node[way]) end
  local field = math.floor((first - 1) / LINKS_IN_FIELD)
  if fields > 0 then position = field * LINKS_IN_FIELD end
  while field < fields and position < last do
    local name = node.number .. ':' .. way .. ':' .. field
    add(read('HGET', keys.graph, name) or '')
    field = field + 1
    if position ~= math.min(count, field * LINKS_IN_FIELD) then
      error({err = 'CORRUPT ' .. keys.graph .. ' ' .. name .. ' is not understood'})
    end
  end
  return found, last < math.max(count, position) and last + 1 or nil
end
