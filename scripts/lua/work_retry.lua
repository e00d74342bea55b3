#!lua flags=allow-oom
--[[
  Try the flow of a retry controller again: first all that comes after the controller starts
  anew, then, in a second call, the controller begins to run.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    missing       hash    what each node waits for
    claims        hash    who holds which item
    plan          hash    a change in progress
    reached       string  bitmap of the nodes that a walk has come to
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the retry
  ARGV
    atom     str     its uuid
    worker   str     who does it
    token    str     the token of its claim
    item     str     the work item
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'PLANNED', before, rev}    what comes after it is being put back: carry on the plan, and
                                call again; before and rev are the flow's revisions
    {'OK', before, rev, round}  it runs
    {'STALE'}                   the claim is no longer the worker's
    {'LOCKED'}                  others hold the lock: wait for a turn, and call again
    {'FENCED'}                  the caller's lease on the lock is over
    {'GONE'}                    no such flow
    {'SCHEMA', n}               a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "check_log"
--- @include "change_atom"
--- @include "commit"
--- @include "holds"
--- @include "read_atom"
--- @include "set_walk"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local atom, before, now = read_atom(args.atom), flow.rev, now_ms()
if not atom or not holds(args.worker, args.token, args.item) then return {'STALE'} end
read('HLEN', keys.missing)
read('HLEN', keys.plan)
read('STRLEN', keys.reached)
if flow.planned then return {'PLANNED', before, before} end
if atom.state == 'RUNNING' then return {'OK', before, before, atom.round} end
if atom.intention == 'RETRY' then
  change_atom(flow, atom, {state = atom.state, intention = 'EXECUTE'}, args.worker)
  set_walk(flow, 'again', atom.node, 'ALL')
  commit(flow, now)
  return {'PLANNED', before, flow.rev}
end
atom.round = atom.round + 1
change_atom(flow, atom, {state = 'RUNNING'}, args.worker, {'round', int(atom.round)})
commit(flow, now)
return {'OK', before, flow.rev, atom.round}
