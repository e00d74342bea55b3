#!lua
--[[
  Enter a lock, or its queue; confirm what was granted meanwhile; or renew what is held.

  KEYS
    lock          hash  how it is held
    lock_readers  zset  owner -> lease deadline
    lock_queue    zset  owner that waits -> ticket
    lock_owners   hash  what each owner does, and who it is
  ARGV
    does      str  writes or reads
    owner     str  who asks: whatever else it holds of this lock, or waits for, it gives up
    who       str  host, process and thread of the owner, for people
    lease_ms  int  length of its lease
    wait_ms   int  it will ask again within this time; 0: it does not wait
    sent      str  which sending this is: heed_sent tells

  RETURNS
    {'HELD', fence}         it holds the lock; the fence of the last writer
    {'QUEUED', ms, ticket}  it waits; in that time the leases of those who hold it end
    {'BUSY', ms}            others hold it, or wait for it: nothing was changed for this one
    {'GONE'}                no such lock
    {'SCHEMA', n}           a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_lock"
--- @include "drop_hold"
--- @include "grant_lock"
--- @include "heed_sent"
--- @include "hold_lock"
--- @include "leave_queue"
--- @include "lock_owner"
--- @include "lock_wait"
--- @include "note_owner"
--- @include "reap_lock"
--- @include "renew_lock"
--- @include "save_lock"
local lock, refusal = open_lock(args.does == 'reads')
if not lock then return refusal end
heed_sent(lock.void)
local now = now_ms()
local entry = {does = args.does, since = now, deadline = 0, claim_ms = 0, who = args.who}
if lock.held == '' and lock.waiting == 0 then
  hold_lock(lock, args.owner, entry, now, now + args.lease_ms)
  save_lock(lock)
  return {'HELD', lock.fence}
end
local mine = lock_owner(lock, args.owner)
local queued = 'awaits-' .. (args.does == 'writes' and 'write' or 'read')
if lock.held ~= '' and not lock.crowd then
  read('ZCARD', keys.lock_readers)
  read('HLEN', keys.lock_owners)
end
if mine and mine.does ~= args.does and mine.does ~= queued then
  if not drop_hold(lock, args.owner) then leave_queue(lock, args.owner) end
  mine = nil
end
reap_lock(lock, now)
grant_lock(lock, now)
mine = mine and lock_owner(lock, args.owner)
local answer
if mine and mine.does == args.does then
  renew_lock(lock, args.owner, now + args.lease_ms)
  answer = {'HELD', lock.fence}
elseif not mine and lock.waiting == 0
    and (lock.held == '' or (lock.held == 'read' and args.does == 'reads')) then
  hold_lock(lock, args.owner, entry, now, now + args.lease_ms)
  answer = {'HELD', lock.fence}
elseif args.wait_ms == 0 then
  if mine then
    leave_queue(lock, args.owner)
    grant_lock(lock, now)
  end
  answer = {'BUSY', lock_wait(lock, now)}
else
  local ticket = mine and tonumber(redis.call('ZSCORE', keys.lock_queue, args.owner))
  if not mine then
    ticket = (tonumber(redis.call('HGET', keys.lock, 'ticket')) or 0) + 1
    redis.call('ZADD', keys.lock_queue, int(ticket), args.owner)
    redis.call('HSET', keys.lock, 'ticket', int(ticket))
    redis.pcall('DEL', keys.lock .. '_wake:' .. args.owner)
  end
  entry.does, entry.since = queued, mine and mine.since or now
  entry.deadline, entry.claim_ms = now + args.wait_ms, args.wait_ms
  note_owner(args.owner, entry)
  answer = {'QUEUED', lock_wait(lock, now), ticket}
end
save_lock(lock)
return answer
