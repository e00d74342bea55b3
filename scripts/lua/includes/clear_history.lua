--- @include "read"
-- clear_history(atom): a retry without any entry in its history
local function clear_history(atom)
  for _, field in ipairs(read('HKEYS', keys.result)) do
    if string.find(field, '^entry:') then redis.call('HDEL', keys.result, field) end
  end
  atom.entries = 0
end
