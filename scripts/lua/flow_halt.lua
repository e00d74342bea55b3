#!lua flags=allow-oom
--[[
  End a run for a failure that belongs to no atom; what is held drains first.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
  ARGV
    run      int    the run to end
    payload  bytes  the failure, encoded
    fence    str    the caller's fence, or empty outside any section
    sent     str    which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev}  nothing more is handed out; before and rev are the flow's revisions
    {'SAME'}             it is halted for this failure
    {'ENDED'}            that run is over, or another is on
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "commit_flow"
--- @include "halt_flow"
local flow, refusal = enter_flow()
if not flow then return refusal end
if flow.run ~= args.run or flow.ended >= args.run then return {'ENDED'} end
for number = 1, flow.halt do
  if read('HGET', keys.flow, 'halt:' .. number) == args.payload then return {'SAME'} end
end
local before = flow.rev
flow.rev = before + 1
halt_flow(flow, args.payload)
commit_flow(flow, now_ms())
return {'OK', before, flow.rev}
