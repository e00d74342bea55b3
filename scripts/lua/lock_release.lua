#!lua flags=allow-oom
--[[
  Leave a lock, or its queue; or stay in it as a reader.

  KEYS
    lock          hash  how it is held
    lock_readers  zset  owner -> lease deadline
    lock_queue    zset  owner that waits -> ticket
    lock_owners   hash  what each owner does, and who it is
  ARGV
    owner     str  who leaves
    keep_ms   int  more than 0: it was a writer, and stays as a reader with a lease so long
    sent      str  which sending this is: heed_sent tells

  RETURNS
    {'OK'}         it held the lock, until now
    {'LOST'}       it did not: its lease was over, it only waited, or has left before
    {'GONE'}       no such lock
    {'SCHEMA', n}  a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_lock"
--- @include "drop_hold"
--- @include "grant_lock"
--- @include "heed_sent"
--- @include "hold_lock"
--- @include "leave_queue"
--- @include "lock_owner"
--- @include "reap_lock"
--- @include "renew_lock"
--- @include "save_lock"
local lock, refusal = open_lock(args.keep_ms > 0)
if not lock then return refusal end
heed_sent(lock.void)
local now = now_ms()
if lock.writer == args.owner and args.keep_ms == 0 then
  local answer = lock.deadline > now and 'OK' or 'LOST'
  drop_hold(lock, args.owner)
  grant_lock(lock, now)
  save_lock(lock)
  return {answer}
end
local entry = lock_owner(lock, args.owner) or {claim_ms = 0, who = ''}
reap_lock(lock, now)
local answer = {'LOST'}
if args.keep_ms > 0 and read('ZSCORE', keys.lock_readers, args.owner) then
  renew_lock(lock, args.owner, now + args.keep_ms)
  answer = {'OK'}
elseif drop_hold(lock, args.owner) then
  if args.keep_ms > 0 then
    entry.does = 'reads'
    hold_lock(lock, args.owner, entry, now, now + args.keep_ms)
  end
  answer = {'OK'}
else
  leave_queue(lock, args.owner)
end
grant_lock(lock, now)
save_lock(lock)
return answer
