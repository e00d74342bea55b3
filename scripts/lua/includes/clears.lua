-- clears(atom) -> bool: in this state an atom keeps no predecessor from being reverted; while
-- its deciders are asked, it does
local function clears(atom)
  return (atom.state == 'PENDING' and atom.owner == '') or atom.state == 'REVERTED'
    or atom.state == 'IGNORE'
end
