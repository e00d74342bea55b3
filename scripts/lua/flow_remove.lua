#!lua flags=allow-oom
--[[
  Remove a flow with all that belongs to it, some of its atoms in each call. The flow itself
  goes first, so that nobody can use what is left; called again, it goes on.

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
    limit  int  how many atoms it may remove, at most 1000
    only   str  empty; idle: not while workers are at work; gone: only what is left of a flow
                that is not there any more
    seen   int  only if its revision is still this one; 0: whatever it is
    fence  str  the caller's fence, or empty outside any section
    sent   str  which sending this is: heed_sent tells
    uuids...  str  at most 1000 atoms whose records are left, though nothing leads to them

  RETURNS
    {'OK', uuids, lost}    nothing is left of it; these atoms were the last; lost = 1 if what
                           names its atoms was gone: their records may be there
    {'MORE', uuids, lost}  these atoms are gone: call again
    {'KEPT', live}   it is there, and that many workers are at work: nothing was removed
    {'MOVED'}        it is there, and has changed since: nothing was removed
    {'LOCKED'}       others hold the lock: wait for a turn, and call again
    {'FENCED'}       the caller's lease on the lock is over
    {'GONE'}         cannot happen here; enter_flow answers it
    {'SCHEMA', n}    a newer version wrote it
]]
--- @include "now_ms"
--- @include "check_acl"
--- @include "check_collections"
--- @include "heed_lock"
--- @include "open_flow"
--- @include "record_key"
local flow, refusal = open_flow()
if not flow and refusal[1] ~= 'GONE' then return refusal end
check_acl(keys.flow)
check_collections()
-- A flow that has lost some of its keys cannot be used: it can still be removed.
if flow and read('EXISTS', keys.lock) == 1 then
  flow, refusal = heed_lock(flow)
  if not flow then return refusal end
end
local lost = flow and 1 - read('EXISTS', keys.changes) or 0
local live = read('ZCOUNT', keys.workers, now_ms(), '(inf')
if flow and (args.only == 'gone' or (args.only == 'idle' and live > 0)) then
  return {'KEPT', live}
end
if flow and args.seen > 0 and flow.rev ~= args.seen then return {'MOVED'} end
local uuids, records = read('ZRANGEBYSCORE', keys.changes, '(0', '+inf', 'LIMIT', 0, args.limit), {}
for i, uuid in ipairs(uuids) do
  records[2 * i - 1], records[2 * i] = record_key('atom', uuid), record_key('result', uuid)
  read('HLEN', records[2 * i - 1])
  read('HLEN', records[2 * i])
end
local left = read('ZCARD', keys.changes) - #uuids
redis.call('UNLINK', keys.flow)
for _, uuid in ipairs(args.uuids) do
  redis.call('UNLINK', record_key('atom', uuid), record_key('result', uuid))
end
if uuids[1] then
  redis.call('UNLINK', unpack(records))
  redis.call('ZREM', keys.changes, unpack(uuids))
end
if left > 1 then return {'MORE', uuids, lost} end
redis.call('UNLINK', unpack(KEYS))
return {'OK', uuids, lost}
