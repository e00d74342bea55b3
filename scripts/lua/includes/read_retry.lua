--- @include "read_atom"
-- read_retry(uuid) -> atom | nil: a retry's record, with the number of entries in its history
local function read_retry(uuid)
  local atom = read_atom(uuid)
  if not atom or atom.type ~= 'retry' then return nil end
  atom.entries = tonumber(read('HGET', atom.key, 'entries') or 0)
  return atom
end
