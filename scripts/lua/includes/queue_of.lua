--- @include "int"
-- queue_of(text) -> queue: nodes, and from which of their links on they are still to be followed
local function queue_of(text)
  local queue = {}
  for number, first in string.gmatch(text or '', '(%d+)@(%d+)') do
    queue[#queue + 1] = {number, tonumber(first)}
  end
  return queue
end

-- keep_queue(name, queue): keep it with the plan, or nothing if it is empty
local function keep_queue(name, queue)
  local entries = {}
  for i, entry in ipairs(queue) do entries[i] = entry[1] .. '@' .. int(entry[2]) end
  if entries[1] then
    redis.call('HSET', keys.plan, name, table.concat(entries, ' '))
  else
    redis.call('HDEL', keys.plan, name)
  end
end
