#!lua flags=allow-oom
--[[
  Do the next part of a change of many records. Anybody may, until it is done: the cursor
  is kept with the plan, so a repeated or a concurrent call goes on where the last one was.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    ready         zset    work that may be taken
    idle          zset    workers that wait
    plan          hash    the plan
    reached       string  bitmap of the nodes that a walk has come to
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    who       str     who does it, for the journal
    fence     str     the caller's fence, or empty outside any section
    sent      str     which sending this is: heed_sent tells

  RETURNS
    {'MORE'}         there is more to do
    {'DONE', moves}  nothing is planned any more, or it has to wait for whoever brings
                     another structure; the flow's transitions, old and new in turn
    {'LOCKED'}       others hold the lock: wait for a turn, and call again
    {'FENCED'}       the caller's lease on the lock is over
    {'GONE'}         no such flow
    {'SCHEMA', n}    a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_flow"
--- @include "check_log"
--- @include "commit"
--- @include "hold"
--- @include "keep_worklist"
--- @include "pass"
--- @include "plan_flag"
--- @include "read_plan"
--- @include "spread"
--- @include "spread_write"
--- @include "structure_there"
--- @include "wake"
--- @include "walk"
--- @include "worklist_of"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local plan = read_plan(flow)
if not plan.busy then return {'DONE', {}} end
local FIELDS = {'offset', 'walk', 'depth', 'frontier', 'to_open', 'to_hold', 'to_clear', 'launch',
  'reverts', 'recount'}
for i, value in ipairs(read('HMGET', keys.plan, unpack(FIELDS))) do plan[FIELDS[i]] = value end
plan.offset = tonumber(plan.offset or 1)
-- A start goes by its own structure: one who slept since must not complete it on another.
if plan.launch and not plan.walk and not structure_there() then return {'DONE', {}} end
read('ZCARD', keys.ready)
read('HLEN', keys.missing)
read('STRLEN', keys.reached)
local idle = read('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 1000)

local function continue_spread(name, backward)
  local list = worklist_of(name, plan[name])
  local effect = spread(list, backward)
  for _, entry in ipairs(effect.items) do
    redis.call('ZADD', keys.ready, entry.score, entry.item)
  end
  spread_write(effect)
  keep_worklist(list)
end

local function continue_plan()
  if plan.walk then
    walk(flow, plan, args.who)
  elseif plan.phase == 'undo' and plan.to_open then
    -- What passes is followed before what no longer does: some of it may be both.
    continue_spread('to_open', false)
  elseif plan.to_hold then
    hold(worklist_of('to_hold', plan.to_hold))
  elseif plan.phases ~= '' then
    pass(flow, plan)
  elseif plan.to_open then
    continue_spread('to_open', false)
  elseif plan.to_clear then
    continue_spread('to_clear', true)
  end
end

local function is_done()
  local left = redis.call('HMGET', keys.plan, 'walk', 'phases', 'to_open', 'to_hold', 'to_clear')
  return not (left[1] or left[2] or left[3] or left[4] or left[5])
end

continue_plan()
local done = is_done()
local moves = {}
if done and plan.launch then
  redis.call('HDEL', keys.plan, 'launch')
  redis.call('HDEL', keys.flow, 'starter')
  if flow.state ~= 'RUNNING' then
    moves = {flow.state, 'RUNNING'}
    change_flow(flow, 'RUNNING', args.who)
  end
end
if done then
  redis.call('HDEL', keys.plan, 'recount')
  plan_flag(flow, false)
  wake(idle, #idle)
end
commit(flow, now_ms())
if done then return {'DONE', moves} end
return {'MORE'}
