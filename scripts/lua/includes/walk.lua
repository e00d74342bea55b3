--- @include "atom_of"
--- @include "change_atom"
--- @include "links"
--- @include "passes"
--- @include "place_of"
--- @include "queue_of"
--- @include "read"
--- @include "read_node"
--- @include "start_anew"
--- @include "start_over"
--- @include "want_revert"
-- walk(flow, plan, who) -> done: visit the next of the nodes that links lead to. What is done
-- with their atoms is named by plan.walk: revert (all is to be undone), again (all starts
-- anew), over (all starts anew, without its results) or ignore; how far it goes, by
-- plan.depth, as in taskflow's deciders. Atoms that passed, and are to be undone, are
-- kept for hold
local WALK_LIMIT = 50
local FURTHER = {ALL = 'tref', FLOW = 't', NEIGHBORS = ''}

local function leave_out(flow, atom, who)
  change_atom(flow, atom, {state = 'IGNORE', intention = 'IGNORE'}, who,
    atom.type == 'task' and {'meta:progress', '0.0'} or nil)
end

-- The nodes that are new, and what is left to look at after them.
local function next_nodes(plan, queue, total)
  local found, seen, budget = {}, {}, WALK_LIMIT
  while queue[1] and budget > 0 do
    local after, rest = links(read_node(queue[1][1]), 'after', queue[1][2], budget)
    budget = budget - #after
    for _, link in ipairs(after) do
      local node = not seen[link]
        and read('GETBIT', keys.reached, place_of(link, total)) == 0 and read_node(link)
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

-- What it was counted to wait for, when it was undone before, is of no use any more.
local function undo(flow, node, atom, held, who)
  local passed = atom and passes(atom) and not redis.call('HGET', keys.missing, node.number)
  if atom then want_revert(flow, node, atom, who) end
  redis.call('HDEL', keys.missing, node.number .. ':revert')
  if passed and not passes(atom) then held[#held + 1] = {node.number, 1} end
end

local function walk(flow, plan, who)
  local total = tonumber(read('HGET', keys.flow, 'nodes')) or 0
  local queue, held = queue_of(plan.frontier), queue_of(plan.hold_queue)
  for _, row in ipairs(next_nodes(plan, queue, total)) do
    local node, atom = row.node, row.atom
    redis.call('SETBIT', keys.reached, place_of(node.number, total), 1)
    if plan.walk == 'revert' and plan.phase == 'undo' then
      undo(flow, node, atom, held, who)
    elseif atom and plan.walk == 'revert' then
      want_revert(flow, node, atom, who)
    end
    if atom and plan.walk == 'again' then start_anew(flow, atom, who) end
    if atom and plan.walk == 'over' then start_over(flow, atom, who) end
    if atom and plan.walk == 'ignore' then leave_out(flow, atom, who) end
  end
  if plan.phase == 'undo' then keep_queue('hold_queue', held) end
  keep_queue('frontier', queue)
  if queue[1] then return false end
  redis.call('HDEL', keys.plan, 'walk', 'depth')
  if plan.phase ~= 'undo' then redis.call('SET', keys.reached, '') end
  return true
end
