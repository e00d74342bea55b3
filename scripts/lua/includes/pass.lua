--- @include "atom_of"
--- @include "links"
--- @include "nodes_on"
--- @include "place_of"
--- @include "read"
--- @include "read_node"
--- @include "rebuild"
--- @include "visit"
--- @include "worklist_of"
-- pass(flow, plan): visit the next nodes of the pass that plan.phase names, and raise what those
-- hold back that still do; at its end the next of plan.phases begins. The cursor tells how far
-- it is, and the offset where in the links of a node that has many
local PASS_NODES, PASS_LINKS = 20, 100

-- Where a pass goes on from a place; nil at its end. One that undoes visits what the walk has
-- come to, and nothing else.
local function next_place(plan, place, total)
  if plan.phase == 'undo' then
    place = read('BITPOS', keys.reached, 1, place, -1, 'BIT')
  end
  if place >= 0 and place < total then return place end
end

-- The next nodes of a pass, with the links that they may raise.
local function next_rows(plan, total)
  local rows, budget, first = {}, PASS_LINKS, plan.offset
  local raises = RAISES[plan.phase]
  local place = next_place(plan, plan.cursor, total)
  while place and #rows < PASS_NODES and budget > 0 do
    local onwards = plan.phase ~= 'backward' and plan.phase ~= 'undo'
    local node = read_node(onwards and place or total - 1 - place)
    local row = {node = node, atom = atom_of(node), place = place, links = {}}
    if raises then row.links, row.rest = links(node, raises[1], first, budget) end
    rows[#rows + 1], first = row, 1
    budget = budget - #row.links
    place = next_place(plan, place + 1, total)
  end
  return rows, raises and raises[2]
end

local function counts(plan, link, total)
  return plan.phase ~= 'undo' or redis.call('GETBIT', keys.reached, place_of(link, total)) == 1
end

local function pass(flow, plan)
  local total = tonumber(redis.call('HGET', keys.flow, 'nodes')) or 0
  local rows, suffix = next_rows(plan, total)
  if plan.phase == 'undo' then
    plan.cleared = nodes_on(worklist_of('to_clear', plan.to_clear))  -- for VISIT.undo
  end
  for _, row in ipairs(rows) do
    local holds = VISIT[plan.phase](flow, plan, row.node, row.atom)
    if not holds and plan.offset > 1 then
      -- It was done in the middle of its links: what it has raised nobody would take back.
      rebuild(flow, 'forward,backward')
      return
    end
    for _, link in ipairs(holds and row.links or {}) do
      if counts(plan, link, total) then redis.call('HINCRBY', keys.missing, link .. suffix, 1) end
    end
    plan.offset = holds and row.rest or 1
    plan.cursor = plan.offset == 1 and row.place + 1 or row.place
  end
  if next_place(plan, plan.cursor, total) then
    redis.call('HSET', keys.plan, 'cursor', plan.cursor, 'offset', plan.offset)
  else
    local phases = string.match(plan.phases, ',(.*)$') or ''
    if phases == 'backward' and plan.phase == 'forward' and not plan.reverts then phases = '' end
    if phases == '' then
      redis.call('HDEL', keys.plan, 'phases', 'cursor', 'offset', 'reverts')
      redis.call('SET', keys.reached, '', 'KEEPTTL')
      return
    end
    redis.call('HSET', keys.plan, 'phases', phases, 'cursor', 0, 'offset', 1)
  end
  if plan.reverts then redis.call('HSET', keys.plan, 'reverts', 1) end
end
