--- @include "clears"
--- @include "passes"
--- @include "read"
--- @include "read_atom"
--- @include "read_node"
--- @include "waiting_for"
-- spread(queue, backward) -> effect: what it opens that the queued nodes hold nothing back
-- any more. Only reads; spread_write does it. A queue entry is {node number, first link};
-- after SPREAD_LIMIT links the rest of the queue stays in effect.queue for a plan.
local SPREAD_LIMIT = 400
local function spread(queue, backward)
  local effect = {missing = {}, items = {}, queue = queue, backward = backward}
  local suffix, budget = backward and ':revert' or '', SPREAD_LIMIT
  while queue[1] and budget > 0 do
    local node, position = read_node(queue[1][1]), 0
    local first = queue[1][2]
    queue[1][2] = nil
    for link in string.gmatch(backward and node.before or node.after, '%d+') do
      position = position + 1
      if position >= first then
        if budget == 0 then
          queue[1][2] = position
          break
        end
        budget = budget - 1
        local neighbour, field = read_node(link), link .. suffix
        local left = effect.missing[field]
        if not left and not string.find(backward and neighbour.after or neighbour.before, ',') then
          left = 1  -- it waits for this node alone
        end
        left = (left or tonumber(read('HGET', keys.missing, field)) or 0) - 1
        effect.missing[field] = left
        if left == 0 then
          local atom = not neighbour.gate and read_atom(neighbour.uuid)
          if not atom or (backward and clears(atom)) or (not backward and passes(atom)) then
            queue[#queue + 1] = {link, 1}
          else
            local item = waiting_for(atom, backward, neighbour)
            if item then
              effect.items[#effect.items + 1] =
                {item = item, score = -neighbour.priority, atom = atom}
            end
          end
        end
      end
    end
    if not queue[1][2] then table.remove(queue, 1) end
  end
  return effect
end
