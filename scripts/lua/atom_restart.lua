#!lua
--[[
  Put an atom back to its beginning for an operator, and all that comes after it, while
  nobody is at work. What comes after it is done by a plan.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    graph         hash    the structure
    missing       hash    what each node waits for
    claims        hash    who holds which item
    workers       zset    worker -> lease deadline
    idle          zset    workers that wait
    plan          hash    a change in progress
    reached       string  bitmap of the nodes that a walk has come to
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the atom
    result        hash    its results
  ARGV
    atom    str  its uuid
    alone   int  1: this atom only
    who     str  the request, and who asks, for the journal
    since   int  a revision of the flow from before the request
    act     str  what an operator calls it, for the journal
    reason  str  why, for people
    fence   str  the caller's fence, or empty outside any section
    sent    str  which sending this is: heed_sent tells

  RETURNS
    {'OK', planned}     it has been put back; planned = 1 if a plan does the rest
    {'PLAN'}            another plan comes first: carry it on, and call again
    {'LIVE', live}      that many workers are at work
    {'HELD'}            dead workers hold items: sweep, and call again
    {'LOOSE'}           it is not part of the structure, or that is not there
    {'UNKNOWN'}         no such atom
    {'EXPIRES', ended}  the flow is to go: flow_keep first, and call again
    {'LOCKED'}          others hold the lock: wait for a turn, and call again
    {'FENCED'}          the caller's lease on the lock is over
    {'GONE'}            no such flow
    {'SCHEMA', n}       a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "check_derived"
--- @include "check_log"
--- @include "commit"
--- @include "follow_edit"
--- @include "moved_before"
--- @include "note_act"
--- @include "read_atom"
--- @include "set_walk"
--- @include "start_over"
--- @include "structure_there"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local now = now_ms()
local live = read('ZCOUNT', keys.workers, now, '(inf')
local atom = read_atom(args.atom)
if not atom then return {'UNKNOWN'} end
if moved_before(flow, args.atom, args.who, args.since) then
  return {'OK', flow.planned and 1 or 0}
end
if live > 0 then return {'LIVE', live} end
if read('HLEN', keys.claims) > 1 then return {'HELD'} end
local after, there = args.alone == 0, structure_there()
if flow.planned and there then return {'PLAN'} end
if after and (atom.node == '' or not there) then return {'LOOSE'} end
check_derived()
read('STRLEN', keys.reached)
read('HLEN', keys.result)
read('HEXISTS', keys.graph, atom.node)
-- Not all that was done is to be reverted any more.
redis.call('HDEL', keys.flow, 'cancelled', 'cancelled_run')
note_act(flow, args.act)
start_over(flow, atom, args.who)
if after then set_walk(flow, 'over', atom.node, 'ALL') end
follow_edit(flow, atom)
commit(flow, now)
return {'OK', flow.planned and 1 or 0}
