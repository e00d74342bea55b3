#!lua flags=allow-oom
--[[
  Renew a worker's lease and hand out work: first what it owns and does not hold.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    ready         zset    work that may be taken
    claims        hash    who holds which item
    workers       zset    worker -> lease deadline
    idle          zset    workers that wait
    plan          hash    a change in progress
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    run         int     the run that the worker belongs to
    worker      str     its id
    lease_ms    int     length of its lease
    capacity    int     how many more items it has room for
    settles     int     1: it does no work, but ends a run that can be ended
    fence       str     the caller's fence, or empty outside any section
    sent        str     which sending this is: heed_sent tells
    holding...  str     the items that it holds

  RETURNS
    {'OK', before, rev, state, next, items}  before and rev: the flow's revisions
                     around the call; next: WAIT, PLAN or FINISH (nothing else is
                     left; take once more), what to do when nothing is held;
                     items: {item, token, uuid, round, attempt, state that it came
                     from}
    {'ENDED', state} that run is over, and this is how it ended
    {'LOCKED'}       others hold the lock: wait for a turn, and call again
    {'FENCED'}       the caller's lease on the lock is over
    {'GONE'}         no such flow
    {'SCHEMA', n}    a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "atom_of"
--- @include "check_log"
--- @include "commit"
--- @include "read_plan"
--- @include "survey"
--- @include "grant"
--- @include "halt_flow"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
if args.run <= flow.ended then
  return {'ENDED', read('HGET', keys.flow, 'outcome:' .. args.run) or flow.state}
end
local before, now = flow.rev, now_ms()
local function owned_but_not_held()
  local held, lost = {}, {}
  for _, item in ipairs(args.holding) do held[item] = true end
  local rows = read('HGETALL', keys.claims)
  for i = 1, #rows, 2 do
    local worker, token = string.match(rows[i + 1], '^(%S+) (%d+)$')
    if worker == args.worker and not held[rows[i]] then
      local number = string.match(rows[i], '^0*(%d+):')
      local atom = number and atom_of(read_node(number))
        or {uuid = '', round = 0, attempt = 0, state = flow.state}
      lost[#lost + 1] = {rows[i], token, atom.uuid, atom.round, atom.attempt, atom.state}
    end
  end
  return lost
end
local plan = read_plan(flow)
local offer = survey(flow, plan, args.worker, args.capacity, {}, 0, args.settles == 1)
if offer.stuck then
  -- Nobody who lives can do what is left: the run ends for it.
  local declined = ' ' .. read('HGET', keys.plan, 'declined:' .. offer.stuck)
  local others = 0
  for _, worker in ipairs(read('ZRANGEBYSCORE', keys.workers, now, '(inf')) do
    if not string.find(declined, ' ' .. worker .. ' ', 1, true) then others = others + 1 end
  end
  if others == 0 then
    flow.rev = flow.rev + 1
    halt_flow(flow, read('HGET', keys.plan, 'lack:' .. offer.stuck))
    offer = survey(flow, plan, args.worker, args.capacity, {}, 0, args.settles == 1)
  end
end
local mine = tonumber(read('HGET', keys.claims, '#' .. args.worker)) or 0
local lost = mine ~= #args.holding and owned_but_not_held() or {}
read('ZCARD', keys.workers)
redis.call('ZADD', keys.workers, now + args.lease_ms, args.worker)
if #lost > 0 then return {'OK', before, before, flow.state, 'WAIT', lost} end
local next, items = grant(flow, offer, now)
if flow.rev ~= before then commit(flow, now) end
return {'OK', before, flow.rev, flow.state, next, items}
