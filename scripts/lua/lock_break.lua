#!lua flags=allow-oom
--[[
  Take a lock away from those who hold it, for an operator.

  KEYS
    lock          hash  how it is held
    lock_readers  zset  owner -> lease deadline
    lock_queue    zset  owner that waits -> ticket
    lock_owners   hash  what each owner does, and who it is
  ARGV
    who       str  who does it
    reason    str  and why
    holds...  str*2  owner, and since when it holds the lock, in turn

  RETURNS
    {'OK', owners}  those who held it until now
    {'GONE'}        no such lock
    {'SCHEMA', n}   a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_lock"
--- @include "break_lock"
--- @include "save_lock"
local lock, refusal = open_lock()
if not lock then return refusal end
local now = now_ms()
local out = break_lock(lock, args.holds, now)
if out[1] then
  redis.call('HSET', keys.lock, 'broken_at', int(now), 'broken_by', args.who,
    'broken_for', args.reason)
end
save_lock(lock)
return {'OK', out}
