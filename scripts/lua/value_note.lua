#!lua
--[[
  Note which values a worker has that cannot leave its process, until the run ends: others
  can then tell an argument that this worker has from one that nobody has.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
  ARGV
    fence      str     the caller's fence, or empty outside any section
    sent       str     which sending this is: heed_sent tells
    names...   str     names of values

  RETURNS
    {'OK', before, rev}  they are noted; before and rev are the flow's revisions
    {'EXPIRES', ended}   the flow is to go: flow_keep first, and call again
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "commit_flow"
local flow, refusal = edit_flow()
if not flow then return refusal end
local before = flow.rev
for _, name in ipairs(args.names) do
  if read('HEXISTS', keys.flow, 'transient:' .. name) == 0 then
    flow.fields[#flow.fields + 1] = 'transient:' .. name
    flow.fields[#flow.fields + 1] = ''
  end
end
if flow.fields[1] then
  flow.rev = before + 1
  commit_flow(flow, now_ms())
end
return {'OK', before, flow.rev}
