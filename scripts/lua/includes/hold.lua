--- @include "follow"
--- @include "int"
--- @include "keep_worklist"
--- @include "read"
--- @include "read_node"
--- @include "worklist_of"
-- hold(list): raise the counters of what comes after nodes that no longer pass; a gate that then
-- waits for something no longer passes, either. The opposite of spread
local HOLD_LINKS = 60
local function hold(list)
  local raised, budget = {}, HOLD_LINKS
  while list[1] and budget > 0 do
    local after = follow(list, 'after', budget)
    budget = budget - 1 - #after
    for _, link in ipairs(after) do
      local count = (raised[link] or tonumber(read('HGET', keys.missing, link) or 0)) + 1
      raised[link] = count
      if count == 1 and read_node(link).gate then list[#list + 1] = {link, 1} end
    end
  end
  for link, count in pairs(raised) do redis.call('HSET', keys.missing, link, int(count)) end
  keep_worklist(list)
end
