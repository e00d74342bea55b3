#!lua flags=allow-oom
--[[
  Take a flow's lock away from those who hold it, for an operator, and journal it.

  KEYS
    flow          hash    the flow itself
    lock          hash    how its lock is held
    lock_readers  zset    owner -> lease deadline
    lock_queue    zset    owner that waits -> ticket
    lock_owners   hash    what each owner does, and who it is
    events        stream  the journal
  ARGV
    who       str  who does it
    reason    str  and why
    holds...  str*2  owner, and since when it holds the lock, in turn

  RETURNS
    {'OK', owners}  those who held it until now
    {'GONE'}        no such flow
    {'SCHEMA', n}   a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_flow"
--- @include "open_lock"
--- @include "break_lock"
--- @include "commit_flow"
--- @include "note_flow"
--- @include "save_lock"
local flow, refusal = open_flow()
if not flow then return refusal end
read('XLEN', keys.events)
local lock, unknown = open_lock()
if not lock then return unknown end
local now = now_ms()
local out = break_lock(lock, args.holds, now)
save_lock(lock)
if out[1] then
  redis.call('HSET', keys.lock, 'broken_at', int(now), 'broken_by', args.who,
    'broken_for', args.reason)
  note_flow(flow, args.who, {'unlocked', table.concat(out, ' '), 'reason', args.reason})
  commit_flow(flow, now)
end
return {'OK', out}
