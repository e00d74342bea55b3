#!lua flags=allow-oom
--[[
  Move a flow to another state, if taskflow.states allows it from the one it is in; or, when
  nobody runs it, to any state.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    workers       zset    worker -> lease deadline
    idle          zset    workers that wait, who must hear of a suspend
    events        stream  the journal
  ARGV
    to      str     the new state
    forced  int     1: from whatever state it is in
    who     str     the request, and who asks, for the journal
    since   int     a revision of the flow from before the request
    act     str     what an operator calls it, for the journal; empty: nobody does
    reason  str     why, for people
    fence   str     the caller's fence, or empty outside any section
    sent    str     which sending this is: heed_sent tells

  RETURNS
    {'MOVED', old, rev}  it is in the new state
    {'IGNORED', old}     taskflow ignores this transition, and so does this
    {'INVALID', old}     taskflow does not allow it
    {'HELD', live}       that many workers run it: it is not forced
    {'EXPIRES', ended}   the flow is to go: flow_keep first, and call again
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "change_flow"
--- @include "commit_flow"
--- @include "flow_transition_of"
--- @include "moved_before"
--- @include "note_act"
--- @include "wake"
local flow, refusal = edit_flow()
if not flow then return refusal end
read('XLEN', keys.events)
local moved_from, moved_rev = moved_before(flow, '', args.who, args.since)
if moved_from then return {'MOVED', moved_from, moved_rev} end
local old, now = flow.state, now_ms()
if args.forced == 1 then
  local live = read('ZCOUNT', keys.workers, now, '(inf')
  if live > 0 then return {'HELD', live} end
  if old == args.to then return {'IGNORED', old} end
else
  local verdict = flow_transition_of(old, args.to)
  if verdict ~= 'MOVED' then return {verdict, old} end
end
local idle = read('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 1000)
if args.act ~= '' then note_act(flow, args.act) end
change_flow(flow, args.to, args.who)
wake(idle, #idle)
commit_flow(flow, now)
return {'MOVED', old, flow.rev}
