--- @include "int"
--- @include "record_key"
-- new_atom(uuid, name, type, version, place) -> atom, fields: a record with the fields that it
-- begins with; place counts the flow's atoms in the order of their creation. The fields that
-- scripts read most stand first: a small hash is searched from its beginning. What is to be
-- had from its key, or says nothing yet (see read_atom), takes no memory
local function new_atom(uuid, name, type, version, place)
  local atom = {uuid = uuid, key = record_key('atom', uuid), state = '', node = '', owner = '',
    intention = '', round = 0, attempt = 0, token = '', failed = '', type = type}
  return atom, {'name', name, 'state', '', 'intention', 'EXECUTE', 'rev', 0, 'node', '',
    'owner', '', 'round', 0, 'token', '', 'type', type, 'version', version,
    'place', int(place)}
end
