--- @include "change_atom"
--- @include "item_of"
-- want_revert(flow, node, atom, who): whatever it did is to be undone, and it begins nothing
local function want_revert(flow, node, atom, who)
  redis.call('ZREM', keys.ready, item_of(node.number, 'execute'), item_of(node.number, 'decide'))
  if atom.intention ~= 'REVERT' then
    change_atom(flow, atom, {state = atom.state, intention = 'REVERT'}, who)
  end
end
