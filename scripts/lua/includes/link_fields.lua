-- link_fields(text) -> fields, count: how many fields of their own a node's links take, and how
-- many links there are in them, as its record says it; 0 if they stand in the record itself
local LINKS_IN_FIELD = 64
local function link_fields(text)
  local count = tonumber(string.match(text, '^%*(%d+)$')) or 0
  return math.ceil(count / LINKS_IN_FIELD), count
end
