--- @include "read"
-- loaded_nodes() -> nodes, fields: how many nodes of the structure are there with all their
-- links, and how many fields; those of links (see links) are counted as their nodes come
local function loaded_nodes()
  local fields = read('HLEN', keys.graph) - 1
  return fields - (tonumber(read('HGET', keys.flow, 'link_fields')) or 0), fields
end
