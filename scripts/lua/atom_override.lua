#!lua
--[[
  Give a task a result for an operator, whatever it has; what it had is kept aside.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    workers       zset    worker -> lease deadline
    idle          zset    workers that wait
    plan          hash    a change in progress
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the atom
    result        hash    its results
  ARGV
    atom     str    its uuid
    state    str    SUCCESS or FAILURE
    payload  bytes  the result or the failure, encoded
    who      str    the request, and who asks, for the journal
    since    int    a revision of the flow from before the request
    act      str    what an operator calls it, for the journal
    reason   str    why, for people
    fence    str    the caller's fence, or empty outside any section
    sent     str    which sending this is: heed_sent tells

  RETURNS
    {'OK', old, rev}    it was given the result with rev; old is the state before
    {'HELD', owner}     a worker holds the atom
    {'LIVE', live}      that many workers are at work: no failure is given now
    {'PLAN'}            a change of many records comes first: carry it on, and call again
    {'RESOLVING'}       what its failure means is being decided
    {'REVERTS'}         it is to be reverted, or the run is, or was
    {'UNKNOWN'}         no such task
    {'EXPIRES', ended}  the flow is to go: flow_keep first, and call again
    {'LOCKED'}          others hold the lock: wait for a turn, and call again
    {'FENCED'}          the caller's lease on the lock is over
    {'GONE'}            no such flow
    {'SCHEMA', n}       a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "check_log"
--- @include "int"
--- @include "change_atom"
--- @include "check_derived"
--- @include "commit"
--- @include "follow_edit"
--- @include "mark_result"
--- @include "moved_before"
--- @include "note_act"
--- @include "read_atom"
--- @include "structure_there"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local atom, now = read_atom(args.atom), now_ms()
local live = read('ZCOUNT', keys.workers, now, '(inf')
if not atom or atom.type ~= 'task' then return {'UNKNOWN'} end
local moved_from, moved_rev = moved_before(flow, args.atom, args.who, args.since)
if moved_from then return {'OK', moved_from, moved_rev} end
if atom.owner ~= '' then return {'HELD', atom.owner} end
if args.state == 'FAILURE' and live > 0 then return {'LIVE', live} end
if flow.planned and structure_there() then return {'PLAN'} end
-- What it means that it has failed is being decided, for the whole run maybe.
if atom.node ~= '' and string.match(flow.resolving, '^0*(%d+):') == atom.node then
  return {'RESOLVING'}
end
local cancelled = read('HGET', keys.flow, 'cancelled_run') == int(flow.run)
if flow.reverting or cancelled or atom.intention ~= 'EXECUTE' or flow.state == 'REVERTED' then
  return {'REVERTS'}
end
check_derived()
local old, kept = atom.state, read('HMGET', keys.result, 'results', 'failure')
if (kept[1] or kept[2]) == args.payload and old == args.state then
  return {'OK', old, flow.rev}
end
note_act(flow, args.act)
local aside = 'replaced:' .. int(flow.rev + 1)
if kept[1] or kept[2] then redis.call('HSET', keys.result, aside, kept[1] or kept[2]) end
local failed = mark_result(keys.result, atom, args.state, args.payload)
change_atom(flow, atom, {state = args.state, intention = 'EXECUTE'}, args.who,
  {'writer', args.who, 'writer_round', int(atom.round), 'failed', failed})
follow_edit(flow, atom)
commit(flow, now)
return {'OK', old, flow.rev}
