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
    {'DONE', moves}  nothing is planned any more; the flow's transitions, old and new
                     in turn
    {'LOCKED'}       others hold the lock: wait for a turn, and call again
    {'FENCED'}       the caller's lease on the lock is over
    {'GONE'}         no such flow
    {'SCHEMA', n}    a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "atom_of"
--- @include "change_flow"
--- @include "check_log"
--- @include "commit"
--- @include "hold"
--- @include "keep_worklist"
--- @include "links"
--- @include "nodes_on"
--- @include "place_of"
--- @include "plan_flag"
--- @include "read_plan"
--- @include "rebuild"
--- @include "spread"
--- @include "spread_write"
--- @include "visit"
--- @include "wake"
--- @include "walk"
--- @include "worklist_of"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local plan = read_plan(flow)
if not plan.busy then return {'DONE', {}} end
local NODES, LINKS = 20, 100
local FIELDS = {'offset', 'walk', 'depth', 'frontier', 'to_open', 'to_hold', 'to_clear', 'launch',
  'reverts', 'recount'}
for i, value in ipairs(read('HMGET', keys.plan, unpack(FIELDS))) do plan[FIELDS[i]] = value end
plan.offset = tonumber(plan.offset or 1)
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

-- Where a pass goes on from a place; nil at its end. One that undoes visits what the walk has
-- come to, and nothing else.
local function next_place(place, total)
  if plan.phase == 'undo' then
    place = read('BITPOS', keys.reached, 1, place, -1, 'BIT')
  end
  if place >= 0 and place < total then return place end
end

-- The next nodes of a pass, with the links that they may raise.
local function next_rows(total)
  local rows, budget, first = {}, LINKS, plan.offset
  local raises = RAISES[plan.phase]
  local place = next_place(plan.cursor, total)
  while place and #rows < NODES and budget > 0 do
    local onwards = plan.phase ~= 'backward' and plan.phase ~= 'undo'
    local node = read_node(onwards and place or total - 1 - place)
    local row = {node = node, atom = atom_of(node), place = place, links = {}}
    if raises then row.links, row.rest = links(node, raises[1], first, budget) end
    rows[#rows + 1], first = row, 1
    budget = budget - #row.links
    place = next_place(place + 1, total)
  end
  return rows, raises and raises[2]
end

local function counts(link, total)
  return plan.phase ~= 'undo' or redis.call('GETBIT', keys.reached, place_of(link, total)) == 1
end

local function continue_pass()
  local total = tonumber(redis.call('HGET', keys.flow, 'nodes')) or 0
  local rows, suffix = next_rows(total)
  plan.cleared = nodes_on(worklist_of('to_clear', plan.to_clear))
  for _, row in ipairs(rows) do
    local holds = VISIT[plan.phase](flow, plan, row.node, row.atom)
    if not holds and plan.offset > 1 then
      -- It was done in the middle of its links: what it has raised nobody would take back.
      rebuild(flow, 'forward,backward')
      return
    end
    for _, link in ipairs(holds and row.links or {}) do
      if counts(link, total) then redis.call('HINCRBY', keys.missing, link .. suffix, 1) end
    end
    plan.offset = holds and row.rest or 1
    plan.cursor = plan.offset == 1 and row.place + 1 or row.place
  end
  if next_place(plan.cursor, total) then
    redis.call('HSET', keys.plan, 'cursor', plan.cursor, 'offset', plan.offset)
  else
    local phases = string.match(plan.phases, ',(.*)$') or ''
    if phases == 'backward' and plan.phase == 'forward' and not plan.reverts then phases = '' end
    if phases == '' then
      redis.call('HDEL', keys.plan, 'phases', 'cursor', 'offset', 'reverts')
      redis.call('SET', keys.reached, '')
      return
    end
    redis.call('HSET', keys.plan, 'phases', phases, 'cursor', 0, 'offset', 1)
  end
  if plan.reverts then redis.call('HSET', keys.plan, 'reverts', 1) end
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
    continue_pass()
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
