#!lua
--[[
  Set the state of a retry that nobody holds and remove its history; all else stays.

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
    state      str     its state from now on
    owner      str     the thread that asks, for the journal too; without spaces
    op_id      int     the number of its request
    keep_ms    int     for how long it may send the same request again
    fence      str     the caller's fence, or empty outside any section
    sent       str     which sending this is: heed_sent tells

  RETURNS
    {'OK', old, before, rev}  removed; before and rev are the flow's revisions
    {'REPEATED', rev}         it was removed by an earlier sending of this request
    {'HELD', owner}           a worker holds the retry
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
--- @include "read_retry"
--- @include "recall"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local atom, now = read_retry(args.atom), now_ms()
if not atom then return {'UNKNOWN'} end
local requests = recall(atom, now)
if not requests then return {'REPEATED', flow.rev} end
if atom.owner ~= '' then return {'HELD', atom.owner} end
check_derived()
local old, before = atom.state, flow.rev
for _, field in ipairs(read('HKEYS', keys.result)) do
  if string.find(field, '^entry:') then redis.call('HDEL', keys.result, field) end
end
change_atom(flow, atom, {state = args.state}, args.owner, {'entries', 0, 'requests', requests})
if old ~= args.state then follow_edit(flow, atom) end
commit(flow, now)
return {'OK', old, before, flow.rev}
