--- @include "read"
-- check_absent(keys, of): what a lost flow, or atom, left behind is not adopted by a new one
local function check_absent(names, of)
  for _, key in ipairs(names) do
    if read('EXISTS', key) == 1 then
      error({err = 'CORRUPT ' .. key .. ' it is there without its ' .. of})
    end
  end
end
