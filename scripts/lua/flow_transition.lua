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
    who     str     who asks, for the journal
    again   str     empty; or, if the same was asked for before and no answer came, the
                    revision that was known then
    fence   str     the caller's fence, or empty outside any section

  RETURNS
    {'MOVED', old, rev}  it is in the new state
    {'IGNORED', old}     taskflow ignores this transition, and so does this
    {'INVALID', old}     taskflow does not allow it
    {'HELD', live}       that many workers run it: it is not forced
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "change_flow"
--- @include "commit_flow"
--- @include "flow_transition_of"
--- @include "moved_before"
--- @include "wake"
local flow, refusal = enter_flow()
if not flow then return refusal end
read('XLEN', keys.events)
-- args.who is the thread that asks, which asks for one thing at a time; args.again is the
-- revision that it knew before it asked for this the first time.
local moved_from, moved_rev = moved_before('', args.to, args.who, tonumber(args.again))
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
change_flow(flow, args.to, args.who)
wake(idle, #idle)
commit_flow(flow, now)
return {'MOVED', old, flow.rev}
