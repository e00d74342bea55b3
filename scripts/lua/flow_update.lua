#!lua
--[[
  Merge metadata into a flow, entry by entry.

  KEYS
    flow          hash   the flow itself
    lock          hash   who is in a section
    lock_readers  zset   who reads in a section
  ARGV
    fence    str    the caller's fence, or empty outside any section
    sent     str    which sending this is: heed_sent tells
    pairs... bytes*2  field and JSON value in turn

  RETURNS
    {'OK', rev}         the flow's rev after it
    {'EXPIRES', ended}  the flow is to go: flow_keep first, and call again
    {'LOCKED'}          others hold the lock: wait for a turn, and call again
    {'FENCED'}          the caller's lease on the lock is over
    {'GONE'}            no such flow
    {'SCHEMA', n}       a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "commit_flow"
local flow, refusal = edit_flow()
if not flow then return refusal end
flow.rev = flow.rev + 1
for i = 1, #args.pairs, 2 do
  flow.fields[#flow.fields + 1] = 'meta:' .. args.pairs[i]
  flow.fields[#flow.fields + 1] = args.pairs[i + 1]
end
commit_flow(flow, now_ms())
return {'OK', flow.rev}
