#!lua flags=allow-oom
--[[
  Give back an item that could not even be begun, and end the run for that failure.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    claims        hash    who holds which item
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the atom
  ARGV
    atom     str     its uuid
    worker   str     who held it
    token    str     the token of its claim
    item     str     the work item
    payload  bytes   the failure, encoded
    fence    str     the caller's fence, or empty outside any section
    sent     str     which sending this is: heed_sent tells

  RETURNS
    {'OK', before, rev}  the run ends once what is held has drained
    {'STALE'}            the claim is no longer the worker's, or this was done already
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "check_log"
--- @include "change_atom"
--- @include "commit"
--- @include "drop_claim"
--- @include "halt_flow"
--- @include "holds"
--- @include "read_atom"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local atom, before = read_atom(args.atom), flow.rev
if not atom or not holds(args.worker, args.token, args.item) then return {'STALE'} end
local mine = tonumber(read('HGET', keys.claims, '#' .. args.worker)) or 1
halt_flow(flow, args.payload)
if flow.resolving == args.item then
  flow.rev = before + 1
  flow.fields[#flow.fields + 1] = 'resolving'
  flow.fields[#flow.fields + 1] = ''
else
  change_atom(flow, atom, {state = atom.state}, args.worker, {'owner', ''})
end
drop_claim(args.worker, args.item, mine)
commit(flow, now_ms())
return {'OK', before, flow.rev}
