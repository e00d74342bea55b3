#!lua
--[[
  Note in the journal what an operator does to a flow, and why.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    events        stream  the journal
  ARGV
    who     str  who does it
    act     str  what, such as suspend or "reset fetch"
    reason  str  why, or empty
    op_id   str  names this request: sent again, it notes nothing more
    fence   str  the caller's fence, or empty outside any section

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
--- @include "note_flow"
local flow, refusal = enter_flow()
if not flow then return refusal end
for _, entry in ipairs(read('XREVRANGE', keys.events, '+', '-', 'COUNT', 100)) do
  for i = 1, #entry[2], 2 do
    if entry[2][i] == 'op_id' and entry[2][i + 1] == args.op_id then return {'SAME'} end
  end
end
note_flow(flow, args.who, {'act', args.act, 'reason', args.reason, 'op_id', args.op_id})
commit_flow(flow, now_ms())
return {'OK', flow.rev}
