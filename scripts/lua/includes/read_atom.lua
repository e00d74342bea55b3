--- @include "read"
--- @include "record_key"
-- read_atom(uuid) -> atom | nil: the fields that decide what may happen to an atom. attempt and
-- failed are there only once they have said something
local function read_atom(uuid)
  local key = record_key('atom', uuid)
  local a = read('HMGET', key, 'state', 'intention', 'node', 'owner', 'round', 'attempt',
    'token', 'failed', 'type')
  if not a[1] then return nil end
  return {
    uuid = uuid, key = key, state = a[1], intention = a[2], node = a[3], owner = a[4],
    round = tonumber(a[5]), attempt = tonumber(a[6] or 0), token = a[7], failed = a[8] or '',
    type = a[9],
  }
end
