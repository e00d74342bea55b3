#!lua flags=allow-oom
--[[
  Note the failure that a retry controller is about to be asked about in the last entry of its
  history, in the name of the worker that resolves it; the first failure of an atom stays.

  KEYS
    flow          hash  the flow itself
    lock          hash  who is in a section
    lock_readers  zset  who reads in a section
    claims        hash  who holds which item
    changes       zset  atom uuid -> rev
    atom          hash  the retry
    result        hash  its history
  ARGV
    atom     str    its uuid
    worker   str    who resolves the failure
    token    str    the token of its claim
    item     str    the work item
    failed   str    the name of the atom that has failed
    payload  bytes  the failure, encoded
    fence    str    the caller's fence, or empty outside any section
    sent     str    which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev}  it stands there, now or since an earlier call; before and rev are the
                         flow's revisions
    {'EMPTY'}            its history has no entry
    {'STALE'}            the claim is no longer the worker's, or this is no retry
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "commit"
--- @include "holds"
--- @include "read_retry"
local flow, refusal = enter_flow()
if not flow then return refusal end
read('ZCARD', keys.changes)
local atom, before = read_retry(args.atom), flow.rev
if not atom or not holds(args.worker, args.token, args.item) then return {'STALE'} end
if atom.entries == 0 then return {'EMPTY'} end
local field = 'entry:' .. int(atom.entries) .. ':failure:' .. args.failed
if read('HEXISTS', keys.result, field) == 0 then
  flow.rev = before + 1
  redis.call('HSET', keys.result, field, args.payload)
  redis.call('HSET', atom.key, 'rev', int(flow.rev))
  flow.changes = {int(flow.rev), atom.uuid}
  commit(flow, now_ms())
end
return {'OK', before, flow.rev}
