--- @include "inject_values"
-- read_others(values, given): values of all names that are not given are to be removed, too
local function read_others(values, given)
  local kept = {}
  for i = 1, #given, 2 do kept['value:' .. given[i]] = true end
  for _, field in ipairs(read('HKEYS', values.key)) do
    if string.find(field, '^value:') and not kept[field] then
      values.gone[#values.gone + 1] = field
    end
  end
end
