--- @include "change_atom"
--- @include "clears"
--- @include "left_undone"
--- @include "passes"
--- @include "start_anew"
--- @include "waiting_for"
--- @include "want_revert"
--- @include "want_resolve"
-- VISIT[phase](flow, plan, node, atom) -> holds: what a pass does at one node, and whether it
-- then raises the counters of its neighbours (see RAISES) since it still holds them back
local VISIT = {}
local RAISES = {forward = {'after', ''}, backward = {'before', ':revert'},
  undo = {'before', ':revert'}}

local function offer_item(node, item)
  if item then redis.call('ZADD', keys.ready, -node.priority, item) end
end

function VISIT.reset(flow, plan, _, atom)
  if atom and (atom.state ~= 'PENDING' or atom.intention ~= 'EXECUTE') then
    start_anew(flow, atom, plan.launch)
  end
end

function VISIT.mark(flow, _, node, atom)
  if atom then want_revert(flow, node, atom, '') end
end

function VISIT.forward(flow, plan, node, atom)
  local left = tonumber(redis.call('HGET', keys.missing, node.number)) or 0
  if atom then
    if left == 0 then offer_item(node, waiting_for(atom, false, node)) end
    if plan.launch and atom.state == 'RETRYING' and atom.intention == 'EXECUTE' then
      -- Whoever was about to try again may not have put back all that comes after it.
      change_atom(flow, atom, {state = atom.state, intention = 'RETRY'}, plan.launch)
    end
    offer_item(node, left_undone(atom))
    local failed = atom.state == 'FAILURE'
      and (plan.launch or (plan.recount and atom.intention == 'EXECUTE'))
    if failed and not flow.never_resolve then
      flow.rev = flow.rev + 1
      want_resolve(flow, atom)
    end
    if atom.intention == 'REVERT' or atom.intention == 'RETRY' then plan.reverts = true end
  end
  return left > 0 or (atom and not passes(atom))
end

function VISIT.backward(_, _, node, atom)
  local left = tonumber(redis.call('HGET', keys.missing, node.number .. ':revert')) or 0
  if atom then
    if left == 0 then offer_item(node, waiting_for(atom, true, node)) end
    offer_item(node, left_undone(atom))
  end
  return left > 0 or (atom and not clears(atom))
end

-- One that has come to its end meanwhile is on the worklist, which takes back what it raises.
function VISIT.undo(flow, plan, node, atom)
  return VISIT.backward(flow, plan, node, atom) or plan.cleared[tonumber(node.number)] == true
end
