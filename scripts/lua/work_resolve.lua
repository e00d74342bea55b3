#!lua flags=allow-oom
--[[
  Apply what was decided about an atom's failure. One failure at a time is resolved, in the
  order of the failures, and nothing else is handed out meanwhile.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    ready         zset    work that may be taken
    claims        hash    who holds which item
    plan          hash    a change in progress
    reached       string  bitmap of the nodes that a walk has come to
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    worker      str   who decided
    token       str   the token of its claim
    item        str   the work item
    strategy    str   REVERT_ALL: everything is reverted; REVERT: a controller and all that
                      comes after it; RETRY: all that, and then the controller runs again
    controller  str   uuid of the controller; empty for REVERT_ALL
    fence       str   the caller's fence, or empty outside any section
    sent        str   which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev}  applied, or set out as a plan; before and rev are the revisions
    {'PLANNED', before, rev}  carry on the plan first, and call again
    {'STALE'}            the claim is no longer the worker's, or it was applied already
    {'UNKNOWN'}          no such strategy, or no such controller
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_atom"
--- @include "check_log"
--- @include "commit"
--- @include "drop_claim"
--- @include "holds"
--- @include "read_atom"
--- @include "read_node"
--- @include "rebuild"
--- @include "set_undo"
--- @include "waiting_for"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local controller = args.strategy ~= 'REVERT_ALL' and read_atom(args.controller)
if args.strategy ~= 'REVERT_ALL'
    and not (controller and (args.strategy == 'RETRY' or args.strategy == 'REVERT')) then
  return {'UNKNOWN'}
end
if not holds(args.worker, args.token, args.item) then return {'STALE'} end
if flow.planned then return {'PLANNED', flow.rev, flow.rev} end
local node = read_node(tonumber(string.match(args.item, '^%d+')))
local atom, before = read_atom(node.uuid), flow.rev
read('ZCARD', keys.ready)
read('HLEN', keys.plan)
read('STRLEN', keys.reached)
local nodes = tonumber(read('HGET', keys.flow, 'nodes')) or 0
local blocked = read('HGET', keys.missing, node.number .. ':revert')
local mine = tonumber(read('HGET', keys.claims, '#' .. args.worker)) or 1
-- Where it was given a result meanwhile there is nothing to decide.
local given = atom and atom.type == 'task' and atom.state == 'SUCCESS'
local undecided = not given and not flow.reverting
if undecided and controller then
  -- What is to be reverted for good is not tried again.
  local intention = controller.intention == 'REVERT' and 'REVERT' or args.strategy
  local passed = passes(controller) and not read('HGET', keys.missing, controller.node)
  change_atom(flow, controller, {state = controller.state, intention = intention}, args.worker)
  set_undo(flow, controller.node, passed and not passes(controller), nodes)
elseif undecided then
  rebuild(flow, 'mark,backward')
  flow.fields[#flow.fields + 1] = 'reverting'
  flow.fields[#flow.fields + 1] = 1
elseif atom and waiting_for(atom, true) and not blocked then
  -- It failed after the others were told to revert: only its own revert is left to offer.
  redis.call('ZADD', keys.ready, -node.priority, waiting_for(atom, true))
end
drop_claim(args.worker, args.item, mine)
flow.rev = flow.rev + 1
flow.fields[#flow.fields + 1] = 'resolving'
flow.fields[#flow.fields + 1] = ''
commit(flow, now_ms())
return {'OK', before, flow.rev}
