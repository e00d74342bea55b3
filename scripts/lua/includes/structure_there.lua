--- @include "loaded_nodes"
--- @include "read"
-- structure_there() -> bool: all of the structure is there, and nobody is about to replace it
local function structure_there()
  local known = read('HMGET', keys.flow, 'nodes', 'fingerprint')
  return (known[2] or '') ~= '' and loaded_nodes() == tonumber(known[1])
end
