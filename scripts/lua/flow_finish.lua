#!lua flags=allow-oom
--[[
  End a run: nothing is held or planned, and nothing more will be handed out.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    lock_queue    zset    who waits for the lock
    lock_owners   hash    who all these are
    atoms         hash    name -> uuid
    graph         hash    the structure
    missing       hash    what each node waits for
    ready         zset    work that may be taken
    claims        hash    who holds which item
    workers       zset    worker -> lease deadline
    idle          zset    workers that wait
    plan          hash    a change in progress
    reached       string  bitmap of the nodes that a walk has come to
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    run      int     the run to end
    worker   str     who does it
    token    str     the token of its claim on the item finish
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'OK', old, state, more}  the run ended in this state; more > 0: flow_expire goes on
                              from there
    {'ENDED', state}          it had ended, like this
    {'AGAIN'}                 there is work again, or a look at all atoms comes first: the
                              claim is dropped, take
    {'STALE'}                 the claim is no longer the worker's
    {'LOCKED'}                others hold the lock: wait for a turn, and call again
    {'FENCED'}                the caller's lease on the lock is over
    {'GONE'}                  no such flow
    {'SCHEMA', n}             a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_flow"
--- @include "check_collections"
--- @include "commit_flow"
--- @include "drop_claim"
--- @include "expire_flow"
--- @include "holds"
--- @include "rebuild"
--- @include "wake"
local flow, refusal = enter_flow()
if not flow then return refusal end
if args.run <= flow.ended then
  return {'ENDED', read('HGET', keys.flow, 'outcome:' .. args.run) or flow.state}
end
if not holds(args.worker, args.token, 'finish') then return {'STALE'} end
local left = read('ZCARD', keys.ready) - 1
read('HLEN', keys.plan)
local mine = tonumber(read('HGET', keys.claims, '#' .. args.worker)) or 1
-- What an edit has made ready since finish was claimed may be held by now.
local held = read('HLEN', keys.claims) > 3
if flow.planned or held or (flow.state == 'RUNNING' and flow.halt == 0 and left > 0) then
  drop_claim(args.worker, 'finish', mine)
  return {'AGAIN'}
end
local old, state = flow.state, 'REVERTED'
if flow.halt > 0 then
  state = 'FAILURE'
elseif left > 0 then
  state = 'SUSPENDED'
elseif flow.unfinished == 0 then
  state = 'SUCCESS'
end
check_collections()
local now = now_ms()
-- What somebody has removed from ready would look like a run in which all is undone: before
-- one is called so, whatever still waits is offered once more.
if state == 'REVERTED' and read('HGET', keys.flow, 'recounted') ~= int(args.run) then
  drop_claim(args.worker, 'finish', mine)
  rebuild(flow, 'forward,backward')
  redis.call('HSET', keys.plan, 'recount', 1)
  flow.fields[#flow.fields + 1], flow.fields[#flow.fields + 2] = 'recounted', args.run
  commit_flow(flow, now)
  return {'AGAIN'}
end
local tell = read('ZRANGEBYSCORE', keys.workers, '-inf', '(inf', 'LIMIT', 0, 1000)
local notes = {}
for _, name in ipairs(read('HKEYS', keys.flow)) do
  if string.find(name, '^transient:') then notes[#notes + 1] = name end
end
local keep_ms = tonumber(read('HGET', keys.flow, 'retention_ms') or '')
if state == 'SUSPENDED' then keep_ms = nil end
change_flow(flow, state, args.worker)
local row = flow.fields
for name, value in pairs({ended = args.run, declined = 0, ['outcome:' .. args.run] = state}) do
  row[#row + 1], row[#row + 2] = name, value
end
-- Nobody asks any more how a run has ended after which a thousand others have.
notes[#notes + 1] = 'outcome:' .. int(args.run - 1000)
for _, name in ipairs(notes) do redis.call('HDEL', keys.flow, name) end
if flow.declined then
  redis.call('UNLINK', keys.plan)
  redis.call('HSET', keys.plan, '-', '')
end
redis.call('HDEL', keys.claims, 'finish', '#' .. args.worker)
redis.call('ZREMRANGEBYSCORE', keys.workers, '-inf', '(inf')
redis.call('ZREMRANGEBYSCORE', keys.idle, '-inf', '(inf')
-- Of these there may be very many: the server frees them aside.
redis.call('UNLINK', keys.ready, keys.missing)
redis.call('ZADD', keys.ready, 'inf', '-')
redis.call('HSET', keys.missing, '-', '')
if keep_ms then row[#row + 1], row[#row + 2] = 'expires_at', int(now + keep_ms) end
commit_flow(flow, now)
wake(tell, #tell, args.worker)
return {'OK', old, state, keep_ms and expire_flow(now + keep_ms) or 0}
