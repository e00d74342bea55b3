#!lua flags=allow-oom
--[[
  Apply what the deciders before an atom have said: it begins to run, or it is left out.

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
    atom          hash    the atom
  ARGV
    atom     str     its uuid
    worker   str     who has asked
    token    str     the token of its claim
    item     str     the work item
    depth    str     how far the nay reaches: ALL, FLOW, NEIGHBORS or ATOM; empty: it may run
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev, state, next, items}  applied; the rest as in work_take
    {'PLANNED', before, rev}  carry on the plan first, and call again; before and rev are the
                         flow's revisions
    {'STALE'}            the claim is no longer the worker's, or it was applied already
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "check_log"
--- @include "commit"
--- @include "drop_claim"
--- @include "grant_atom"
--- @include "holds"
--- @include "item_of"
--- @include "put_back"
--- @include "read_atom"
--- @include "read_node"
--- @include "resolve_waits"
--- @include "set_walk"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local atom, before, now = read_atom(args.atom), flow.rev, now_ms()
if not atom or not holds(args.worker, args.token, args.item) then return {'STALE'} end
if flow.planned then return {'PLANNED', before, before} end
local node = read_node(tonumber(atom.node))
local mine = tonumber(read('HGET', keys.claims, '#' .. args.worker)) or 1
read('HLEN', keys.plan)
read('ZCARD', keys.ready)
read('HLEN', keys.missing)
read('STRLEN', keys.reached)
-- After an edit it may have to wait for something again.
local wanted = atom.state == 'PENDING' and atom.intention == 'EXECUTE'
  and not read('HGET', keys.missing, node.number)
-- What a failure means, this atom included, is found out before anything else goes on.
local goes_on = wanted and flow.halt == 0 and flow.resolving == '' and not resolve_waits()
local items, next = {}, 'WAIT'
if goes_on and args.depth == '' and flow.state == 'RUNNING' then
  redis.call('HDEL', keys.claims, args.item)
  local execute = item_of(atom.node, 'execute')
  items[1] = grant_atom(flow, args.worker, {item = execute, atom = atom}, now)
else
  drop_claim(args.worker, args.item, mine)
  local to = {state = atom.state}
  if goes_on and args.depth ~= '' then to = {state = 'IGNORE', intention = 'IGNORE'} end
  change_atom(flow, atom, to, args.worker, {'owner', ''})
  atom.owner = ''
  if atom.state == 'IGNORE' then
    if args.depth ~= 'ATOM' then set_walk(flow, 'ignore', node.number, args.depth) end
    redis.call('HSET', keys.plan, 'to_open', atom.node .. '@1')
    plan_flag(flow, true)
  else
    put_back(flow, node, atom, args.item)
  end
  if flow.planned then next = 'PLAN' end
end
commit(flow, now)
return {'OK', before, flow.rev, flow.state, next, items}
