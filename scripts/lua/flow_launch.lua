#!lua
--[[
  Set out the last step of a start: count what every node waits for, unless it is
  known, then run.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    plan          hash    a change in progress
    events        stream  the journal
  ARGV
    worker   str     the one who starts the run
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'OK', moves}  plan_step does the rest; moves are the flow's transitions, old and new
                   in turn
    {'INCOMPLETE'} the structure is not all there
    {'STALE'}      another one starts the run, or it is started
    {'LOCKED'}     others hold the lock: wait for a turn, and call again
    {'FENCED'}     the caller's lease on the lock is over
    {'GONE'}       no such flow
    {'SCHEMA', n}  a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_flow"
--- @include "commit_flow"
--- @include "flow_transition_of"
--- @include "int"
--- @include "loaded_nodes"
--- @include "plan_flag"
--- @include "rebuild"
local flow, refusal = enter_flow()
if not flow then return refusal end
read('XLEN', keys.events)
local known = read('HMGET', keys.flow, 'starter', 'nodes')
if known[1] ~= args.worker then return {'STALE'} end
if loaded_nodes() ~= tonumber(known[2]) then return {'INCOMPLETE'} end
read('HLEN', keys.missing)
local fresh = read('HGET', keys.plan, 'fresh') == int(flow.rev)
local begun = read('HGET', keys.plan, 'phases') or ''
local moves, phases = {}, 'forward,backward'
local function move(to)
  if flow_transition_of(flow.state, to) == 'MOVED' then
    moves[#moves + 1] = flow.state
    moves[#moves + 1] = to
    change_flow(flow, to, args.worker)
  end
end
if flow.state == 'RESUMING' then move('SUSPENDED') end
-- One who died in the middle of a reset has left it to be done.
if flow.state == 'REVERTED' or string.find(begun, '^reset') then
  phases = 'reset,forward,backward'
  move('PENDING')
end
-- From here on all begins anew: what was cancelled has been reverted.
if flow.state == 'PENDING' then redis.call('HDEL', keys.flow, 'cancelled', 'cancelled_run') end
if fresh and not flow.planned and flow.state == 'PENDING' and phases == 'forward,backward' then
  -- graph_save has counted: only what comes first is to be opened.
  redis.call('HSET', keys.plan, 'to_open', '0@1')
  plan_flag(flow, true)
else
  rebuild(flow, phases)
end
redis.call('HDEL', keys.plan, 'fresh')
redis.call('HSET', keys.plan, 'launch', args.worker)
commit_flow(flow, now_ms())
return {'OK', moves}
