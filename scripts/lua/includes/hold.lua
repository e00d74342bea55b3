--- @include "links"
--- @include "queue_of"
--- @include "read"
--- @include "read_node"
-- hold(plan) -> done: raise the counters of what comes after nodes that no longer pass; a gate
-- that then waits for something no longer passes, either. The opposite of spread
local HOLD_LIMIT = 100
local function hold(plan)
  local queue, raised, budget = queue_of(plan.hold_queue), {}, HOLD_LIMIT
  while queue[1] and budget > 0 do
    local after, rest = links(read_node(queue[1][1]), 'after', queue[1][2], budget)
    budget = budget - #after
    for _, link in ipairs(after) do
      local count = (raised[link] or tonumber(read('HGET', keys.missing, link) or 0)) + 1
      raised[link] = count
      if count == 1 and read_node(link).gate then queue[#queue + 1] = {link, 1} end
    end
    if rest then queue[1][2] = rest else table.remove(queue, 1) end
  end
  for link, count in pairs(raised) do redis.call('HSET', keys.missing, link, int(count)) end
  keep_queue('hold_queue', queue)
  return not queue[1]
end
