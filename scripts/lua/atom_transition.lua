#!lua
--[[
  Set the state or the intention of an atom that nobody holds, or compare and set its state.

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
  ARGV
    atom       str     its uuid
    state      str     the new state, or empty to leave it
    intention  str     the new intention, or empty to leave it
    expected   str     only if the state is this one; empty: whatever it is
    checked    int     1: only if taskflow.states allows it
    who        str     the request, and who asks, for the journal
    since      int     a revision of the flow from before the request
    fence      str     the caller's fence, or empty outside any section
    sent       str     which sending this is: heed_sent tells

  RETURNS
    {'MOVED', old, before, rev}  it is so now; before and rev are the flow's revisions
    {'SAME', old}                it was so already
    {'OTHER', old}               the state is not the expected one
    {'INVALID', old}             taskflow does not allow it
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
--- @include "atom_transition_of"
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
local to = args.state ~= '' and args.state or old
local intention = args.intention ~= '' and args.intention or atom.intention
local moved_from, moved_rev = moved_before(flow, args.atom, args.who, args.since)
if moved_from then return {'MOVED', moved_from, moved_rev - 1, moved_rev} end
if args.expected ~= '' and old ~= args.expected then return {'OTHER', old} end
if to == old and intention == atom.intention then return {'SAME', old} end
if atom.owner ~= '' then return {'HELD', atom.owner} end
if args.checked == 1 and to ~= old
    and not atom_transition_of(atom.type, old, to) then
  return {'INVALID', old}
end
check_derived()
change_atom(flow, atom, {state = to, intention = intention}, args.who)
follow_edit(flow, atom)
commit(flow, now_ms())
return {'MOVED', old, before, flow.rev}
