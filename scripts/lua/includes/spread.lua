--- @include "atom_of"
--- @include "clears"
--- @include "follow"
--- @include "passes"
--- @include "read"
--- @include "read_node"
--- @include "waiting_for"
-- spread(list, backward) -> effect: what it opens that the nodes on a worklist hold nothing back
-- any more. Only reads; spread_write does it. After so many links or items the rest stays on
-- the list, for a plan.
local SPREAD_LINKS, SPREAD_ITEMS = 100, 30
local function spread(list, backward)
  local effect = {missing = {}, items = {}}
  local suffix, budget = backward and ':revert' or '', SPREAD_LINKS
  local way, back = backward and 'before' or 'after', backward and 'after' or 'before'
  while list[1] and budget > 0 and #effect.items < SPREAD_ITEMS do
    local found = follow(list, way, math.min(budget, SPREAD_ITEMS - #effect.items))
    budget = budget - 1 - #found
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
          list[#list + 1] = {link, 1}
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
  return effect
end
