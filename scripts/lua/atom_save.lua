#!lua
--[[
  Record a task's result from outside the engine: the first one of a round wins.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    missing       hash    what each node waits for
    idle          zset    workers that wait
    plan          hash    a change in progress
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the atom
    result        hash    its results
  ARGV
    atom       str     its uuid
    state      str     the state that it is in with this result
    payload    bytes   the result or the failure, encoded
    writer     str     identity of the Storage that saves; it may replace its own result
    who        str     the request, and who asks, for the journal
    since      int     a revision of the flow from before the request
    fence      str     the caller's fence, or empty outside any section
    sent       str     which sending this is: heed_sent tells

  RETURNS
    {'OK', old, before, rev}  recorded; before and rev are the flow's revisions
    {'STALE', writer}         another has finished it in this round, or holds it
    {'UNKNOWN'}               no such task
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
--- @include "finished_by"
--- @include "follow_edit"
--- @include "mark_result"
--- @include "moved_before"
--- @include "read_atom"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local atom = read_atom(args.atom)
if not atom or read('HGET', atom.key, 'type') ~= 'task' then return {'UNKNOWN'} end
local saved_from, saved_rev = moved_before(flow, args.atom, args.who, args.since)
if saved_from then return {'OK', saved_from, saved_rev - 1, saved_rev} end
if atom.owner ~= '' then return {'STALE', atom.owner} end
local other = finished_by(atom, args.state, keys.result)
if other and other ~= args.writer then return {'STALE', other} end
check_derived()
read('HLEN', keys.result)
local old, before = atom.state, flow.rev
local failed = mark_result(keys.result, atom, args.state, args.payload)
change_atom(flow, atom, {state = args.state}, args.who,
  {'writer', args.writer, 'writer_round', int(atom.round), 'failed', failed})
if old ~= args.state then follow_edit(flow, atom) end
commit(flow, now_ms())
return {'OK', old, before, flow.rev}
