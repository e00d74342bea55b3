--- @include "add_to_worklist"
--- @include "atom_of"
--- @include "change_atom"
--- @include "follow"
--- @include "keep_worklist"
--- @include "passes"
--- @include "place_of"
--- @include "read"
--- @include "read_node"
--- @include "start_anew"
--- @include "start_over"
--- @include "want_revert"
--- @include "worklist_of"
-- walk(flow, plan, who): visit the next of the nodes that links lead to. What is done
-- with their atoms is named by plan.walk: revert (all is to be undone), again (all starts
-- anew), over (all starts anew, without its results) or ignore; how far it goes, by
-- plan.depth, as in taskflow's deciders. Atoms that passed, and are to be undone, are
-- kept for hold
local WALK_LINKS, WALK_NODES = 50, 12
local FURTHER = {ALL = 'tref', FLOW = 't', NEIGHBORS = ''}

local function leave_out(flow, atom, who)
  change_atom(flow, atom, {state = 'IGNORE', intention = 'IGNORE'}, who,
    atom.type == 'task' and {'meta:progress', '0.0'} or nil)
end

-- The nodes that are new; what comes after them is left on the frontier.
local function next_nodes(plan, frontier, total)
  local found, seen, budget = {}, {}, WALK_LINKS
  while frontier[1] and budget > 0 and #found < WALK_NODES do
    local after = follow(frontier, 'after', math.min(budget, WALK_NODES - #found))
    budget = budget - 1 - #after
    for _, link in ipairs(after) do
      local node = not seen[link]
        and read('GETBIT', keys.reached, place_of(link, total)) == 0 and read_node(link)
      seen[link] = true
      if node and (plan.depth ~= 'NEIGHBORS' or node.kind == 't') then
        found[#found + 1] = {node = node, atom = atom_of(node)}
        if string.find(FURTHER[plan.depth], node.kind) then
          frontier[#frontier + 1] = {link, 1}
        end
      end
    end
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
  local frontier, held = worklist_of('frontier', plan.frontier), {}
  for _, row in ipairs(next_nodes(plan, frontier, total)) do
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
  if held[1] then add_to_worklist('to_hold', held) end
  if not keep_worklist(frontier) then
    redis.call('HDEL', keys.plan, 'walk', 'depth')
    if plan.phase ~= 'undo' then redis.call('SET', keys.reached, '', 'KEEPTTL') end
  end
end
