#!lua
--[[
  Come to a flow as a worker: join the run that is on, or become the one who starts it.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    workers       zset    worker -> lease deadline
    events        stream  the journal
  ARGV
    run          int     the run that the caller belongs to
    worker       str     its id
    lease_ms     int     length of its lease
    fingerprint  str     of its structure and of the options that all must share
    nodes        int     how many nodes the structure has
    never        int     1: failures are not resolved, they end the run
    resume       int     1: a flow that was begun before is RESUMING first
    keep_ms      int     for how long it is kept once it has ended; -1: as it is
    fence        str     the caller's fence, or empty outside any section
    sent         str     which sending this is: heed_sent tells

  RETURNS
    {'JOINED', state, live}   the run is on; live counts the workers before
    {'WAIT'}                  another is starting it: come again
    {'SWEEP'}                 dead workers come first: sweep, and come again
    {'CLEAR', moves}          start it: remove the old structure, and come again
    {'LOAD', moves}           start it: bring the structure, then launch
    {'READY', moves}          start it: the structure is there, launch
    {'ENDED', state}          that run is over, and this is how it ended
    {'EXPIRES', ended}        it is to go: flow_keep first, and come again
    {'MISMATCH', live}        live workers run another structure or other options
    {'LOCKED'}                others hold the lock: wait for a turn, and call again
    {'FENCED'}                the caller's lease on the lock is over
    {'GONE'}                  no such flow
    {'SCHEMA', n}             a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_flow"
--- @include "commit_flow"
--- @include "flow_transition_of"
--- @include "int"
--- @include "loaded_nodes"
local flow, refusal = enter_flow()
if not flow then return refusal end
read('XLEN', keys.events)
if args.run <= flow.ended then
  return {'ENDED', read('HGET', keys.flow, 'outcome:' .. args.run) or flow.state}
end
if flow.expires then return {'EXPIRES', flow.ended} end
local now = now_ms()
local mine = read('ZSCORE', keys.workers, args.worker)
local live = read('ZCOUNT', keys.workers, now, '(inf') - (tonumber(mine or 0) >= now and 1 or 0)
local known = read('HMGET', keys.flow, 'fingerprint', 'starter', 'lease_ms')
local loaded, fields = loaded_nodes()
local started_by = known[2] or ''
local other = (known[1] or '') ~= '' and known[1] ~= args.fingerprint
if live > 0 and other then return {'MISMATCH', live} end
local starter_lives = started_by ~= ''
  and tonumber(read('ZSCORE', keys.workers, started_by) or 0) >= now
-- Who sweeps gives time to those with the longest lease.
local longest = math.max(live > 0 and tonumber(known[3] or '') or 0, args.lease_ms)
local function register()
  redis.call('ZADD', keys.workers, now + args.lease_ms, args.worker)
  redis.call('HSET', keys.flow, 'lease_ms', int(longest))
end
if starter_lives and started_by ~= args.worker then
  register()
  return {'WAIT'}
end
if read('ZCOUNT', keys.workers, '-inf', now - 1) > 0 then return {'SWEEP'} end
register()
if live > 0 and started_by == '' and flow.run == args.run and flow.state ~= 'PENDING' then
  return {'JOINED', flow.state, live}
end
local moves, row = {}, flow.fields
if args.keep_ms >= 0 then row[1], row[2] = 'retention_ms', args.keep_ms end
if args.resume == 1 and flow_transition_of(flow.state, 'RESUMING') == 'MOVED' then
  moves = {flow.state, 'RESUMING'}
  change_flow(flow, 'RESUMING', args.worker)
end
-- What has halted a run ends it, also when all who worked in it died before they could.
local halt = args.run == flow.run and flow.halt or 0
for i = halt + 1, flow.halt do redis.call('HDEL', keys.flow, 'halt:' .. i) end
for name, value in pairs({run = args.run, starter = args.worker, halt = halt, reverting = 0,
    resolving = '', never_resolve = args.never}) do
  row[#row + 1] = name
  row[#row + 1] = value
end
local answer = 'READY'
if fields > 0 and (known[1] ~= args.fingerprint or loaded ~= args.nodes) then
  answer = 'CLEAR'
  -- Others wait, whatever they bring, until it is known what there will be.
  row[#row + 1] = 'fingerprint'
  row[#row + 1] = ''
else
  if loaded ~= args.nodes then answer = 'LOAD' end
  row[#row + 1] = 'fingerprint'
  row[#row + 1] = args.fingerprint
  row[#row + 1] = 'nodes'
  row[#row + 1] = args.nodes
end
commit_flow(flow, now)
return {answer, moves}
