#!lua
--[[
  Record a retry's result from outside the engine: one of SUCCESS is appended to its history.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    missing       hash    what each node waits for
    idle          zset    workers that wait
    plan          hash    a change in progress
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the retry
    result        hash    its history and results
  ARGV
    atom       str     its uuid
    state      str     the state that it is in with this result
    payload    bytes   the result or the failure, encoded
    owner      str     the thread that asks, for the journal too; without spaces
    op_id      int     the number of its request
    keep_ms    int     for how long it may send the same request again
    fence      str     the caller's fence, or empty outside any section
    sent       str     which sending this is: heed_sent tells

  RETURNS
    {'OK', old, before, rev}  recorded; before and rev are the flow's revisions
    {'REPEATED', rev}         it was recorded by an earlier sending of this request
    {'STALE', owner}          a worker holds the retry
    {'UNKNOWN'}               no such retry
    {'EXPIRES', ended}        the flow is to go: flow_keep first, and call again
    {'LOCKED'}                others hold the lock: wait for a turn, and call again
    {'FENCED'}                the caller's lease on the lock is over
    {'GONE'}                  no such flow
    {'SCHEMA', n}             a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "check_log"
--- @include "change_atom"
--- @include "check_derived"
--- @include "commit"
--- @include "follow_edit"
--- @include "mark_result"
--- @include "read_retry"
--- @include "recall"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local atom, now = read_retry(args.atom), now_ms()
if not atom then return {'UNKNOWN'} end
local requests = recall(atom, now)
if not requests then return {'REPEATED', flow.rev} end
if atom.owner ~= '' then return {'STALE', atom.owner} end
check_derived()
read('HLEN', keys.result)
local old, before = atom.state, flow.rev
local failed = mark_result(keys.result, atom, args.state, args.payload)
change_atom(flow, atom, {state = args.state}, args.owner,
  {'entries', int(atom.entries), 'failed', failed, 'requests', requests})
if old ~= args.state then follow_edit(flow, atom) end
commit(flow, now)
return {'OK', old, before, flow.rev}
