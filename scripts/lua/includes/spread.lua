--- @include "atom_of"
--- @include "clears"
--- @include "links"
--- @include "passes"
--- @include "read"
--- @include "read_node"
--- @include "waiting_for"
-- spread(queue, backward) -> effect: what it opens that the queued nodes hold nothing back
-- any more. Only reads; spread_write does it. A queue entry is {node number, first link};
-- after SPREAD_LIMIT links the rest of the queue stays in effect.queue for a plan.
local SPREAD_LIMIT = 100
local function spread(queue, backward)
  local effect = {missing = {}, items = {}, queue = queue, backward = backward}
  local suffix, budget = backward and ':revert' or '', SPREAD_LIMIT
  local way, back = backward and 'before' or 'after', backward and 'after' or 'before'
  while queue[1] and budget > 0 do
    local found, rest = links(read_node(queue[1][1]), way, queue[1][2], budget)
    budget = budget - #found
    for _, link in ipairs(found) do
      local neighbour, field = read_node(link), link .. suffix
      local left = effect.missing[field]
      if not left and string.find(neighbour[back], '^%d+$') then
        left = 1  -- it waits for this node alone
      end
      left = (left or tonumber(read('HGET', keys.missing, field)) or 0) - 1
      effect.missing[field] = left
      if left == 0 then
        local atom = atom_of(neighbour)
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
    if rest then queue[1][2] = rest else table.remove(queue, 1) end
  end
  return effect
end
