--- @include "item_of"
-- waiting_for(atom, backward, node) -> item | nil: what an atom wants once nothing holds it back
local function waiting_for(atom, backward, node)
  if atom.owner ~= '' then return nil end
  if not backward then
    if atom.state == 'PENDING' and atom.intention == 'EXECUTE' then
      return item_of(atom.node, node.asks and 'decide' or 'execute')
    end
  elseif atom.state == 'SUCCESS' or atom.state == 'FAILURE' then
    if atom.intention == 'REVERT' then return item_of(atom.node, 'revert') end
    if atom.intention == 'RETRY' then return item_of(atom.node, 'retry') end
  end
end
