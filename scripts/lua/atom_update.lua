#!lua flags=allow-oom
--[[
  Merge metadata, or injected values, into an atom, entry by entry. Not a transition: no
  token, no journal.

  KEYS
    flow          hash   the flow itself
    lock          hash   who is in a section
    lock_readers  zset   who reads in a section
    changes       zset   atom uuid -> rev
    atom          hash   the atom
  ARGV
    atom     str    its uuid
    kind     str    meta, or injected: values for its arguments
    fence    str    the caller's fence, or empty outside any section
    sent     str    which sending this is: heed_sent tells
    pairs... bytes*2  field and JSON value in turn

  RETURNS
    {'OK', before, rev}  merged; before and rev are the flow's revisions around the call
    {'UNKNOWN'}          no such atom
    {'EXPIRES', ended}   the flow is to go: flow_keep first, and call again
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "commit"
--- @include "read_atom"
local flow, refusal = edit_flow()
if not flow then return refusal end
read('ZCARD', keys.changes)
local atom = read_atom(args.atom)
if not atom then return {'UNKNOWN'} end
local before = flow.rev
flow.rev = before + 1
for i = 1, #args.pairs, 2 do
  redis.call('HSET', atom.key, args.kind .. ':' .. args.pairs[i], args.pairs[i + 1])
end
redis.call('HSET', atom.key, 'rev', int(flow.rev))
flow.changes = {int(flow.rev), atom.uuid}
commit(flow, now_ms())
return {'OK', before, flow.rev}
