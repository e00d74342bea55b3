#!lua
--[[
  Note in the journal what an operator does to a flow, and why.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    events        stream  the journal
  ARGV
    who      str  who does it
    act      str  what, such as suspend or "reset fetch"
    reason   str  why, or empty
    op_id    str  names this request: sent again, it notes nothing more
    keep_ms  int  for how long it may be sent again
    fence    str  the caller's fence, or empty outside any section
    sent     str  which sending this is: heed_sent tells

  RETURNS
    {'OK', rev}    it is there; the flow's revision with it
    {'SAME'}       it was there
    {'LOCKED'}     others hold the lock: wait for a turn, and call again
    {'FENCED'}     the caller's lease on the lock is over
    {'GONE'}       no such flow
    {'SCHEMA', n}  a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "commit_flow"
--- @include "int"
--- @include "note_flow"
local flow, refusal = enter_flow()
if not flow then return refusal end
local now = now_ms()
local kept = {args.op_id, int(now + args.keep_ms)}
for op_id, until_ms in string.gmatch(read('HGET', keys.flow, 'noted') or '', '(%S+) (%d+)') do
  if op_id == args.op_id then return {'SAME'} end
  if tonumber(until_ms) >= now then table.insert(kept, op_id .. ' ' .. until_ms) end
end
note_flow(flow, args.who, {'act', args.act, 'reason', args.reason, 'op_id', args.op_id})
flow.fields = {'noted', table.concat(kept, ' ')}
commit_flow(flow, now)
return {'OK', flow.rev}
