#!lua flags=allow-oom
--[[
  Take back what a worker holds whose lease is over, or one that is known to be dead.

  KEYS
    flow          hash    the flow itself
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
    dead          str     the worker that is known to be dead; empty: one whose lease is over
    max_attempts  int     how many workers an atom may cost
    payload       bytes   the failure of an atom that has cost so many, encoded

  RETURNS
    {'OK', worker, taken, more}  taken items are ready again; more = 1: call again
    {'NONE'}                     nobody to sweep
    {'GONE'}                     no such flow
    {'SCHEMA', n}                a newer version wrote it
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
local now = now_ms()
local lapsed = read('ZRANGEBYSCORE', keys.workers, '-inf', now - 1, 'LIMIT', 0, 2)
local dead = args.dead ~= '' and args.dead or lapsed[1]
if not dead or not read('ZSCORE', keys.workers, dead) then return {'NONE'} end
local entries, mine = claimed_by(dead)
read('ZCARD', keys.ready)
local idle = read('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, #entries + 2)
for i, entry in ipairs(entries) do
  take_back(flow, entry, dead, mine - i + 1, 1, args.max_attempts, args.payload)
end
local more = #entries == TAKE_BACK_LIMIT and 1 or 0
if more == 0 then
  redis.call('ZREM', keys.workers, dead)
  redis.call('ZREM', keys.idle, dead)
  if #lapsed > 1 then more = 1 end
end
wake(idle, #entries + 1, dead)
commit(flow, now)
return {'OK', dead, #entries, more}
