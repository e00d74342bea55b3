#!lua flags=allow-oom
--[[
  Renew a lease on a lock; one that is over stays so. Where the server has gone back to an
  earlier moment, its writer may be an earlier section of the same owner: that one is over too.

  KEYS
    lock          hash  how it is held
    lock_readers  zset  owner -> lease deadline
    lock_queue    zset  owner that waits -> ticket
    lock_owners   hash  what each owner does, and who it is
  ARGV
    owner     str  whose lease
    lease_ms  int  its length
    fence     int  of its section: counts where that writes

  RETURNS
    {'OK', waiting}  renewed; how many wait for the lock
    {'LOST'}         the lease was over, or was taken away
    {'GONE'}         no such lock
    {'SCHEMA', n}    a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_lock"
--- @include "grant_lock"
--- @include "reap_lock"
--- @include "renew_lock"
--- @include "save_lock"
local lock, refusal = open_lock()
if not lock then return refusal end
local now = now_ms()
reap_lock(lock, now)
local held = (lock.held == 'write' and lock.writer == args.owner and lock.fence == args.fence)
  or (lock.readers > 0 and read('ZSCORE', keys.lock_readers, args.owner))
if held then renew_lock(lock, args.owner, now + args.lease_ms) end
grant_lock(lock, now)
save_lock(lock)
if not held then return {'LOST'} end
return {'OK', lock.waiting}
