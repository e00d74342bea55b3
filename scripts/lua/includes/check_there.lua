--- @include "read"
-- check_there(key, ...): what a flow has from its creation on is not taken for empty when it is
-- gone. keys.lasting stands for those of the script's keys that are such
local function check_there(...)
  if redis.call('EXISTS', ...) == select('#', ...) then return end
  for _, key in ipairs({...}) do
    if read('EXISTS', key) == 0 then error({err = 'CORRUPT ' .. key .. ' it is gone'}) end
  end
end
