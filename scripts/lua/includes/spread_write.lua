--- @include "int"
--- @include "plan_flag"
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
    local entries = {}
    for i, entry in ipairs(effect.queue) do entries[i] = entry[1] .. '@' .. entry[2] end
    local name = effect.backward and 'clear_queue' or 'open_queue'
    local before = redis.call('HGET', keys.plan, name)
    if before then table.insert(entries, 1, before) end
    redis.call('HSET', keys.plan, name, table.concat(entries, ' '))
    plan_flag(flow, true)
  end
end
