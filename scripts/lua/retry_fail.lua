#!lua
--[[
  Note in the last entry of a retry's history that an atom has failed; the first failure of
  an atom stays.

  KEYS
    flow          hash  the flow itself
    lock          hash  who is in a section
    lock_readers  zset  who reads in a section
    changes       zset  atom uuid -> rev
    atom          hash  the retry
    result        hash  its history and results
  ARGV
    atom     str    its uuid
    failed   str    the name of the atom that has failed
    payload  bytes  the failure, encoded
    owner    str    the thread that asks; without spaces
    op_id    int    the number of its request
    keep_ms  int    for how long it may send the same request again
    fence    str    the caller's fence, or empty outside any section
    sent     str    which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev, entry}  noted in that entry; before and rev are the flow's revisions
    {'SAME'}                    the last entry has a failure of that atom
    {'REPEATED', rev}           it was noted by an earlier sending of this request
    {'EMPTY'}                   there is no entry
    {'UNKNOWN'}                 no such retry
    {'EXPIRES', ended}          the flow is to go: flow_keep first, and call again
    {'LOCKED'}                  others hold the lock: wait for a turn, and call again
    {'FENCED'}                  the caller's lease on the lock is over
    {'GONE'}                    no such flow
    {'SCHEMA', n}               a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "commit"
--- @include "read_retry"
--- @include "recall"
local flow, refusal = edit_flow()
if not flow then return refusal end
read('ZCARD', keys.changes)
local atom, now = read_retry(args.atom), now_ms()
if not atom then return {'UNKNOWN'} end
local requests = recall(atom, now)
if not requests then return {'REPEATED', flow.rev} end
if atom.entries == 0 then return {'EMPTY'} end
local field = 'entry:' .. int(atom.entries) .. ':failure:' .. args.failed
if read('HEXISTS', keys.result, field) == 1 then return {'SAME'} end
local before = flow.rev
flow.rev = before + 1
redis.call('HSET', keys.result, field, args.payload)
redis.call('HSET', atom.key, 'rev', int(flow.rev), 'requests', requests)
flow.changes = {int(flow.rev), atom.uuid}
commit(flow, now)
return {'OK', before, flow.rev, atom.entries}
