--- @include "check_absent"
--- @include "read_atom"
--- @include "now_ms"
-- check_atom(uuid, type) -> atom | nil, refusal | nil: what stands for an atom whose details
-- are to be written
local function check_atom(uuid, type)
  local atom = read_atom(uuid)
  if not atom then
    check_absent({record_key('atom', uuid), record_key('result', uuid)}, 'atom')
    return nil
  end
  read('HLEN', record_key('result', uuid))
  if atom.type ~= type then return nil, {'KIND', uuid, atom.type} end
  return atom
end

-- check_held(atom) -> refusal | nil: a worker's atom is not for others to change. The caller
-- sweeps first if the worker's lease is over
local function check_held(atom)
  if atom.owner == '' then return nil end
  local deadline = read('ZSCORE', keys.workers, atom.owner)
  local live = deadline and tonumber(deadline) > now_ms()
  return {'HELD', atom.uuid, atom.owner, live and 1 or 0}
end
