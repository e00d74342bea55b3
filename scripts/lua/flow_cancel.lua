#!lua flags=allow-oom
--[[
  Have all be reverted that a run has done. As with a failure that nobody answers for: no
  atom begins any more, what is held comes to its end first.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    plan          hash    a change in progress
    events        stream  the journal
  ARGV
    run      int     the run that is meant
    who      str     who asks, for the journal
    reason   str     why, for people
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev}  set out as a plan: carry it on; before and rev are the revisions
    {'SAME'}             this was asked for before, in this run
    {'PLAN'}             another plan comes first: carry it on, and call again
    {'IDLE', state}      the run has not begun: there is nothing to revert
    {'ENDED', state}     that run is over, and this is how it ended
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_flow"
--- @include "commit_flow"
--- @include "int"
--- @include "note_act"
--- @include "rebuild"
--- @include "structure_there"
local flow, refusal = enter_flow()
if not flow then return refusal end
read('XLEN', keys.events)
read('HLEN', keys.missing)
read('HLEN', keys.plan)
local known = read('HMGET', keys.flow, 'cancelled_run', 'outcome:' .. args.run)
-- A suspended flow waits for its next run, which will revert it.
local suspended = flow.state == 'SUSPENDED' and flow.ended == flow.run
if args.run <= flow.ended and not (suspended and args.run == flow.run) then
  return {'ENDED', known[2] or flow.state}
end
if tonumber(known[1]) == flow.run then return {'SAME'} end
if not structure_there() then return {'IDLE', flow.state} end
if flow.planned then return {'PLAN'} end
if not (suspended or flow.state == 'RUNNING' or flow.state == 'SUSPENDING') then
  return {'IDLE', flow.state}
end
local before = flow.rev
note_act(flow, 'cancel')
rebuild(flow, suspended and 'mark' or 'mark,backward')
change_flow(flow, flow.state, args.who, 'REVERT')
for name, value in pairs({reverting = 1, cancelled = args.who .. ' ' .. args.reason,
    cancelled_run = int(flow.run)}) do
  flow.fields[#flow.fields + 1] = name
  flow.fields[#flow.fields + 1] = value
end
commit_flow(flow, now_ms())
return {'OK', before, flow.rev}
