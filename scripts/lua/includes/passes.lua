-- passes(atom) -> bool: with this state and intention an atom holds no successor back
local function passes(atom)
  return (atom.state == 'SUCCESS' or atom.state == 'IGNORE')
    and (atom.intention == 'EXECUTE' or atom.intention == 'IGNORE')
end
