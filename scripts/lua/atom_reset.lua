#!lua
--[[
  Put an atom that nobody holds back to a state, without results, to be executed.

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
    atom     str     its uuid
    state    str     the state to go back to
    who      str     the request, and who asks, for the journal
    since    int     a revision of the flow from before the request
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'MOVED', old, before, rev}  reset; before and rev are the flow's revisions
    {'SAME', old}                it is in that state: nothing was changed
    {'HELD', owner}              a worker holds the atom
    {'UNKNOWN'}                  no such atom
    {'EXPIRES', ended}           the flow is to go: flow_keep first, and call again
    {'LOCKED'}                   others hold the lock: wait for a turn, and call again
    {'FENCED'}                   the caller's lease on the lock is over
    {'GONE'}                     no such flow
    {'SCHEMA', n}                a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "check_log"
--- @include "change_atom"
--- @include "check_derived"
--- @include "commit"
--- @include "follow_edit"
--- @include "moved_before"
--- @include "read_atom"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local atom = read_atom(args.atom)
if not atom then return {'UNKNOWN'} end
local old, before = atom.state, flow.rev
local moved_from, moved_rev = moved_before(flow, args.atom, args.who, args.since)
if moved_from then return {'MOVED', moved_from, moved_rev - 1, moved_rev} end
if old == args.state then return {'SAME', old} end
if atom.owner ~= '' then return {'HELD', atom.owner} end
check_derived()
local fields = {'failed', ''}
if read('HEXISTS', atom.key, 'entries') == 1 then fields = {'failed', '', 'entries', 0} end
read('HLEN', keys.result)
redis.call('UNLINK', keys.result)
change_atom(flow, atom, {state = args.state, intention = 'EXECUTE'}, args.who, fields)
follow_edit(flow, atom)
commit(flow, now_ms())
return {'MOVED', old, before, flow.rev}
