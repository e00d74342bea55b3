-- record_key(kind, uuid) -> key: a record of this flow, named from the declared flow key
local function record_key(kind, uuid)
  return string.sub(keys.flow, 1, -5) .. kind .. ':' .. uuid
end
