--- @include "read_atom"
-- atom_of(node) -> atom | nil: nil for a gate. One that is gone is no gate: what comes after it
-- would be done without it
local function atom_of(node)
  if node.gate then return nil end
  local atom = read_atom(node.uuid)
  if not atom then error({err = 'CORRUPT ' .. record_key('atom', node.uuid) .. ' it is gone'}) end
  return atom
end
