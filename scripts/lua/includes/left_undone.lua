--- @include "item_of"
-- left_undone(atom) -> item | nil: what is done with an atom that its worker left half-way
local function left_undone(atom)
  if atom.owner ~= '' then return nil end
  if atom.state == 'RETRYING' then return item_of(atom.node, 'retry') end
  if atom.state ~= 'RUNNING' and atom.state ~= 'REVERTING' then return nil end
  return item_of(atom.node, atom.intention == 'REVERT' and 'revert' or 'execute')
end
