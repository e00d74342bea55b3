#!lua flags=allow-oom
--[[
  Record what became of a claimed atom, open what it held back, and hand out the next.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    ready         zset    work that may be taken
    claims        hash    who holds which item
    idle          zset    workers that wait
    plan          hash    a change in progress
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the atom
    result        hash    its results
  ARGV
    atom      str     its uuid
    worker    str     who did it
    token     str     the token of the claim
    item      str     the work item
    state     str     SUCCESS, FAILURE, REVERTED or REVERT_FAILURE
    payload   bytes   the result or the failure, encoded
    capacity  int     how many items the worker has room for afterwards
    fence     str     the caller's fence, or empty outside any section
    sent      str     which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev, state, next, items}  recorded; the rest as in work_take
    {'REPEATED'}    it was recorded by an earlier sending of this request
    {'STALE'}       the claim is no longer the worker's; the payload is kept aside
    {'LOCKED'}      others hold the lock: wait for a turn, and call again
    {'FENCED'}      the caller's lease on the lock is over
    {'GONE'}        no such flow
    {'SCHEMA', n}   a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "add_to_worklist"
--- @include "check_log"
--- @include "clear_history"
--- @include "clears"
--- @include "commit"
--- @include "completed_before"
--- @include "grant"
--- @include "halt_flow"
--- @include "holds"
--- @include "mark_result"
--- @include "passes"
--- @include "plan_flag"
--- @include "read_plan"
--- @include "rebuild"
--- @include "spread"
--- @include "spread_write"
--- @include "survey"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local atom = read_atom(args.atom)
local held = holds(args.worker, args.token, args.item)
if not atom and held then error({err = 'CORRUPT ' .. keys.atom .. ' it is gone'}) end
if not held then
  if not atom then return {'STALE'} end
  local same = atom.token == args.token and atom.state == args.state and atom.owner == ''
  if same or completed_before(args.atom, args.state, args.worker, tonumber(args.token)) then
    return {'REPEATED'}
  end
  redis.call('HSET', keys.result, 'late:' .. args.token, args.payload)
  return {'STALE'}
end
local before, now, plan = flow.rev, now_ms(), read_plan(flow)
local number = tonumber(atom.node)
local after = {state = args.state, intention = atom.intention, owner = '', node = atom.node}
local opened, list, backward, recount = {}, {}, false, false
-- A pass over all nodes is on: what it has not reached yet it will see for itself.
local behind = plan.phase == 'forward' and number < plan.cursor
local undoing, backing = plan.phase == 'undo', plan.phase == 'backward'
local reached = plan.phases == '' or undoing or (backing
  and tonumber(read('HGET', keys.flow, 'nodes')) - 1 - number < plan.cursor)
if args.state == 'REVERT_FAILURE' or (args.state == 'FAILURE' and flow.never_resolve) then
  halt_flow(flow, args.payload)
elseif args.state == 'FAILURE' then
  opened[1] = {item = item_of(atom.node, 'resolve'), score = before - 9e15, atom = atom}
elseif passes(after) then
  -- After an edit it may itself wait for something again: then it does not count as done yet.
  -- While reverts are counted, what waits to be executed has been.
  if (plan.phases == '' or undoing or backing) and not read('HGET', keys.missing, number) then
    list = {{number, 1}}
  end
  recount = behind
elseif clears(after) then
  if reached and not read('HGET', keys.missing, number .. ':revert') then
    list, backward = {{number, 1}}, true
  end
elseif reached and waiting_for(after, true)
    and not read('HGET', keys.missing, number .. ':revert') then
  local priority = read_node(number).priority
  opened[1] = {item = waiting_for(after, true), score = -priority, atom = atom}
end
-- While reverts are counted, what has come to its end is left for later: a node between, which
-- the pass has not come to yet, holds back nothing so far. See VISIT.undo, too.
local effect = (undoing or backing) and backward
  and {missing = {}, items = {}} or spread(list, backward)
for _, entry in ipairs(effect.items) do opened[#opened + 1] = entry end
if list[1] or recount then
  read('HLEN', keys.plan)
  plan.busy = true
end
local offer = survey(flow, plan, args.worker, args.capacity, opened, 1)
if atom.type == 'retry' then
  atom.entries = tonumber(read('HGET', atom.key, 'entries') or 0)
end
-- The first write: if the key is of another type, it fails and nothing was changed.
local failed = mark_result(keys.result, atom, args.state, args.payload)
local fields = {'owner', '', 'finished_at', int(now)}
if failed ~= atom.failed then fields[5], fields[6] = 'failed', failed end
if atom.type == 'task' and (args.state == 'SUCCESS' or args.state == 'REVERTED') then
  fields[#fields + 1] = 'meta:progress'
  fields[#fields + 1] = '1.0'
elseif atom.entries then
  if args.state == 'REVERTED' then clear_history(atom) end
  fields[#fields + 1] = 'entries'
  fields[#fields + 1] = int(atom.entries)
end
change_atom(flow, atom, {state = args.state}, args.worker, fields)
redis.call('HDEL', keys.claims, args.item)
spread_write(effect)
if list[1] then
  add_to_worklist(backward and 'to_clear' or 'to_open', list)
  plan_flag(flow, true)
end
if recount then rebuild(flow, plan.phases) end
local next, items = grant(flow, offer, now)
commit(flow, now)
return {'OK', before, flow.rev, flow.state, next, items}
