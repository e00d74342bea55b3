--- @include "int"
-- keep_worklist(list) -> bool, whether anything is left. What is too much for one field goes
-- below it, and is brought up again when what is above it is done
local WORKLIST_LIMIT = 100

local function worklist_text(list, first, last)
  local entries = {}
  for i = first, last do entries[#entries + 1] = list[i][1] .. '@' .. int(list[i][2]) end
  return table.concat(entries, ' ')
end

local function keep_worklist(list)
  local kept = 0
  while #list - kept > WORKLIST_LIMIT do
    list.below = list.below + 1
    redis.call('HSET', keys.plan, list.name .. ':' .. int(list.below),
      worklist_text(list, kept + 1, kept + WORKLIST_LIMIT))
    kept = kept + WORKLIST_LIMIT
  end
  local text = worklist_text(list, kept + 1, #list)
  if text == '' and list.below > 0 then
    local field = list.name .. ':' .. int(list.below)
    text = redis.call('HGET', keys.plan, field) or ''
    redis.call('HDEL', keys.plan, field)
    list.below = list.below - 1
  end
  if list.below > 0 then text = text .. ' +' .. int(list.below) end
  if text ~= '' then
    redis.call('HSET', keys.plan, list.name, text)
  else
    redis.call('HDEL', keys.plan, list.name)
  end
  return text ~= ''
end
