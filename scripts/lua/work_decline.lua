#!lua flags=allow-oom
--[[
  Give an item back for want of a value that others may have. It is not offered to this
  worker again; when no live worker is left to take it, work_take ends the run for it.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    ready         zset    work that may be taken
    claims        hash    who holds which item
    idle          zset    workers that wait
    plan          hash    who has declined what
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the atom
  ARGV
    atom     str     its uuid
    worker   str     who held it
    token    str     the token of its claim
    item     str     the work item
    payload  bytes   the failure that this is if nobody can do it, encoded
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev}  it waits for others; before and rev are the flow's revisions
    {'STALE'}            the claim is no longer the worker's, or this was done already
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_atom"
--- @include "check_log"
--- @include "commit"
--- @include "drop_claim"
--- @include "holds"
--- @include "read_atom"
--- @include "read_node"
--- @include "wake"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local atom, before = read_atom(args.atom), flow.rev
if not atom or not holds(args.worker, args.token, args.item) then return {'STALE'} end
local node = read_node(tonumber(atom.node))
local mine = tonumber(read('HGET', keys.claims, '#' .. args.worker)) or 1
local declined = read('HGET', keys.plan, 'declined:' .. args.item) or ''
read('ZCARD', keys.ready)
local idle = read('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 64)
redis.call('HSET', keys.plan, 'declined:' .. args.item, declined .. args.worker .. ' ',
  'lack:' .. args.item, args.payload)
-- As after a worker that has left: it stays as it is, and waits for another one.
change_atom(flow, atom, {state = atom.state}, args.worker, {'owner', ''})
drop_claim(args.worker, args.item, mine)
redis.call('ZADD', keys.ready, -node.priority, args.item)
wake(idle, #idle)
flow.fields[#flow.fields + 1] = 'declined'
flow.fields[#flow.fields + 1] = 1
commit(flow, now_ms())
return {'OK', before, flow.rev}
