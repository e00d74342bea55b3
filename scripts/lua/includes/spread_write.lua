--- @include "int"
--- @include "plan_flag"
--- @include "queue_of"
-- spread_write(flow, effect): write the counters, and keep what is left of the queue as a plan
local function spread_write(flow, effect)
  for field, left in pairs(effect.missing) do
    if left > 0 then
      redis.call('HSET', keys.missing, field, int(left))
    else
      redis.call('HDEL', keys.missing, field)
    end
  end
  if effect.queue[1] then
    local name = effect.backward and 'clear_queue' or 'open_queue'
    local queue = queue_of(redis.call('HGET', keys.plan, name))
    for _, entry in ipairs(effect.queue) do queue[#queue + 1] = entry end
    keep_queue(name, queue)
    plan_flag(flow, true)
  end
end
