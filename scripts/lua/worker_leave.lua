#!lua flags=allow-oom
--[[
  Say goodbye: a worker takes no more. What it still holds others may do again.

  KEYS
    flow     hash    the flow itself
    graph    hash    the structure
    missing  hash    what each node waits for
    ready    zset    work that may be taken
    claims   hash    who holds which item
    workers  zset    worker -> lease deadline
    idle     zset    workers that wait
    plan     hash    a change in progress
    changes  zset    atom uuid -> rev
    events   stream  the journal
  ARGV
    worker   str     its id

  RETURNS
    {'OK', taken, more}  taken items are ready again; more = 1: call again
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "check_acl"
--- @include "check_there"
--- @include "open_flow"
--- @include "check_log"
--- @include "check_derived"
--- @include "commit"
--- @include "take_back"
--- @include "wake"
local flow, refusal = open_flow()
if not flow then return refusal end
check_acl(keys.flow)
check_there(keys.lasting)
check_log()
check_derived()
if not read('ZSCORE', keys.workers, args.worker) then return {'OK', 0, 0} end
local entries, mine = claimed_by(args.worker)
read('ZCARD', keys.ready)
local idle = read('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, #entries + 2)
for i, entry in ipairs(entries) do
  take_back(flow, entry, args.worker, mine - i + 1, 0, 0, '')
end
local more = #entries == TAKE_BACK_LIMIT and 1 or 0
if more == 0 then
  redis.call('ZREM', keys.workers, args.worker)
  redis.call('ZREM', keys.idle, args.worker)
end
wake(idle, #entries + 1, args.worker)
commit(flow, now_ms())
return {'OK', #entries, more}
