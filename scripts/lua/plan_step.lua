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

  RETURNS
    {'MORE'}               there is more to do
    {'DONE', moves, wake}  nothing is planned any more; the flow's transitions, old and new
                           in turn; idle workers to wake
    {'LOCKED'}             others hold the lock: wait for a turn, and call again
    {'FENCED'}             the caller's lease on the lock is over
    {'GONE'}               no such flow
    {'SCHEMA', n}          a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "atom_of"
--- @include "check_log"
--- @include "change_flow"
--- @include "commit"
--- @include "links"
--- @include "read_plan"
--- @include "rebuild"
--- @include "spread"
--- @include "spread_write"
--- @include "visit"
--- @include "walk"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local plan = read_plan(flow)
if not plan.busy then return {'DONE', {}, {}} end
local NODES, LINKS = 50, 100
local extra = read('HMGET', keys.plan, 'launch', 'reverts')
plan.launch, plan.reverts = extra[1], extra[2]
read('ZCARD', keys.ready)
read('HLEN', keys.missing)
read('STRLEN', keys.reached)
local idle = read('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 1000)

local function continue_queue(name, backward)
  local queue = {}
  for number, first in string.gmatch(plan[name], '(%d+)@(%d+)') do
    queue[#queue + 1] = {tonumber(number), tonumber(first)}
  end
  local effect = spread(queue, backward)
  redis.call('HDEL', keys.plan, name)
  for _, entry in ipairs(effect.items) do
    redis.call('ZADD', keys.ready, entry.score, entry.item)
  end
  spread_write(flow, effect)
  return #effect.queue == 0
end

-- The next nodes of a pass, with the links that they may raise.
local function next_rows(total)
  local rows, budget, first = {}, LINKS, plan.offset
  local raises = RAISES[plan.phase]
  for cursor = plan.cursor, math.min(plan.cursor + NODES, total) - 1 do
    if budget == 0 then break end
    local node = read_node(plan.phase == 'backward' and total - 1 - cursor or cursor)
    local row = {node = node, atom = atom_of(node), links = {}}
    if raises then row.links, row.rest = links(node, raises[1], first, budget) end
    rows[#rows + 1], first = row, 1
    budget = budget - #row.links
  end
  return rows, raises and raises[2]
end

local function continue_pass()
  local total = tonumber(redis.call('HGET', keys.flow, 'nodes')) or 0
  local rows, suffix = next_rows(total)
  for _, row in ipairs(rows) do
    local holds = VISIT[plan.phase](flow, plan, row.node, row.atom)
    if not holds and plan.offset > 1 then
      -- It was done in the middle of its links: what it has raised nobody would take back.
      rebuild(flow, 'forward,backward')
      return false
    end
    for _, link in ipairs(holds and row.links or {}) do
      redis.call('HINCRBY', keys.missing, link .. suffix, 1)
    end
    plan.offset = holds and row.rest or 1
    if plan.offset == 1 then plan.cursor = plan.cursor + 1 end
  end
  if plan.cursor < total then
    redis.call('HSET', keys.plan, 'cursor', plan.cursor, 'offset', plan.offset)
  else
    local phases = string.match(plan.phases, ',(.*)$') or ''
    if phases == 'backward' and plan.phase == 'forward' and not plan.reverts then phases = '' end
    if phases == '' then
      redis.call('HDEL', keys.plan, 'phases', 'cursor', 'offset', 'reverts')
      return true
    end
    redis.call('HSET', keys.plan, 'phases', phases, 'cursor', 0, 'offset', 1)
  end
  if plan.reverts then redis.call('HSET', keys.plan, 'reverts', 1) end
  return false
end

local done
if plan.walk then
  done = walk(flow, plan, args.who) and plan.phases == '' and not plan.open_queue
elseif plan.phases ~= '' then
  done = continue_pass() and not (plan.open_queue or plan.clear_queue)
elseif plan.open_queue then
  done = continue_queue('open_queue', false) and not plan.clear_queue
else
  done = continue_queue('clear_queue', true)
end
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
  plan_flag(flow, false)
  for _, worker in ipairs(idle) do redis.call('ZREM', keys.idle, worker) end
end
commit(flow, now_ms())
if done then return {'DONE', moves, idle} end
return {'MORE'}
