--- @include "hold_lock"
--- @include "leave_queue"
--- @include "lock_owner"
-- grant_lock(lock, now): let in whoever may enter, from the head of the queue. A hint tells
-- each of them; it holds the lock for a short while, until it comes to confirm it
local function grant_lock(lock, now)
  while lock.waiting > 0 and lock.held ~= 'write' do
    local owner = redis.call('ZRANGE', keys.lock_queue, 0, 0)[1]
    local entry = lock_owner(lock, owner)
    if not entry or entry.deadline <= now then
      leave_queue(lock, owner)  -- nobody has heard of it for too long
    elseif entry.does == 'awaits-write' and lock.held ~= '' then
      return
    else
      leave_queue(lock, owner)
      entry.does = entry.does == 'awaits-write' and 'writes' or 'reads'
      hold_lock(lock, owner, entry, now, now + entry.claim_ms)
      -- A hint may fail, or its list be of another type: who waits looks by itself as well.
      redis.pcall('RPUSH', keys.lock .. '_wake:' .. owner, '1')
      redis.pcall('PEXPIRE', keys.lock .. '_wake:' .. owner, 60000)
    end
  end
end
