--- @include "read"
-- check_there(): what a flow has from its creation on is not taken for empty when it is gone
local FROM_BIRTH = {atoms = true, graph = true, missing = true, ready = true, claims = true,
  workers = true, plan = true, changes = true, events = true}
local function check_there()
  if redis.call('EXISTS', unpack(KEYS)) == #KEYS then return end
  for _, key in ipairs(KEYS) do
    local name = string.match(key, '}:(%l+)$')
    if name and FROM_BIRTH[name] and read('EXISTS', key) == 0 then
      error({err = 'CORRUPT ' .. key .. ' it is gone'})
    end
  end
end
