--- @include "change_atom"
-- start_anew(flow, atom, who): an atom as if it had never run; what it left stays, until it
-- runs again
local function start_anew(flow, atom, who)
  change_atom(flow, atom, {state = 'PENDING', intention = 'EXECUTE'}, who,
    atom.type == 'task' and {'meta:progress', '0.0'} or nil)
end
