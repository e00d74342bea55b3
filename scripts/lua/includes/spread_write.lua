--- @include "int"
-- spread_write(effect): write the counters that spread has found
local function spread_write(effect)
  for field, left in pairs(effect.missing) do
    if left > 0 then
      redis.call('HSET', keys.missing, field, int(left))
    else
      redis.call('HDEL', keys.missing, field)
    end
  end
end
