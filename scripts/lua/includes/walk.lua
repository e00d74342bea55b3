--- @include "atom_of"
--- @include "change_atom"
--- @include "links"
--- @include "read"
--- @include "read_node"
--- @include "start_anew"
--- @include "start_over"
--- @include "want_revert"
-- walk(flow, plan, who) -> done: visit the next of the nodes that links lead to. What is done
-- with their atoms is named by plan.walk: revert (all is to be undone), again (all starts
-- anew), over (all starts anew, without its results) or ignore; how far it goes, by
-- plan.depth, as in taskflow's deciders
local WALK_LIMIT = 50
local FURTHER = {ALL = 'tref', FLOW = 't', NEIGHBORS = ''}

local function leave_out(flow, atom, who)
  change_atom(flow, atom, {state = 'IGNORE', intention = 'IGNORE'}, who,
    atom.type == 'task' and {'meta:progress', '0.0'} or nil)
end

-- The nodes that are new, and what is left to look at after them.
local function next_nodes(plan, queue)
  local found, seen, budget = {}, {}, WALK_LIMIT
  while queue[1] and budget > 0 do
    local after, rest = links(read_node(queue[1][1]), 'after', queue[1][2], budget)
    budget = budget - #after
    for _, link in ipairs(after) do
      local node = not seen[link] and read('GETBIT', keys.reached, link) == 0 and read_node(link)
      seen[link] = true
      if node and (plan.depth ~= 'NEIGHBORS' or node.kind == 't') then
        found[#found + 1] = {node = node, atom = atom_of(node)}
        if string.find(FURTHER[plan.depth], node.kind) then queue[#queue + 1] = {link, 1} end
      end
    end
    if rest then queue[1][2] = rest else table.remove(queue, 1) end
  end
  return found
end

local function walk(flow, plan, who)
  local queue, left = {}, {}
  for number, first in string.gmatch(plan.frontier, '(%d+)@(%d+)') do
    queue[#queue + 1] = {number, tonumber(first)}
  end
  for _, row in ipairs(next_nodes(plan, queue)) do
    local node, atom = row.node, row.atom
    redis.call('SETBIT', keys.reached, node.number, 1)
    if atom and plan.walk == 'revert' then want_revert(flow, node, atom, who) end
    if atom and plan.walk == 'again' then start_anew(flow, atom, who) end
    if atom and plan.walk == 'over' then start_over(flow, atom, who) end
    if atom and plan.walk == 'ignore' then leave_out(flow, atom, who) end
  end
  for i, entry in ipairs(queue) do left[i] = entry[1] .. '@' .. entry[2] end
  if left[1] then
    redis.call('HSET', keys.plan, 'frontier', table.concat(left, ' '))
  else
    redis.call('HDEL', keys.plan, 'walk', 'depth', 'frontier')
    redis.call('SET', keys.reached, '')
  end
  return not left[1]
end
