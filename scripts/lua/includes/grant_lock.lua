--- @include "hold_lock"
--- @include "leave_queue"
--- @include "lock_owner"
-- grant_lock(lock, now): let in whoever may enter, from the head of the queue. Each holds the
-- lock for as long as a waiter is believed to live, and is told by a hint: which ticket was
-- let in, the fence, and for how many ms. It renews the lease, or comes to confirm it
local function grant_lock(lock, now)
  while lock.waiting > 0 and lock.held ~= 'write' do
    -- Of a free lock whoever is at the head is out of the queue in any case.
    local free = lock.held == ''
    local head = free and redis.call('ZPOPMIN', keys.lock_queue)
      or redis.call('ZRANGE', keys.lock_queue, 0, 0, 'WITHSCORES')
    local owner = head[1]
    local entry = lock_owner(lock, owner)
    if not entry or entry.deadline <= now then
      leave_queue(lock, owner, free)  -- nobody has heard of it for too long
    elseif entry.does == 'awaits-write' and not free then
      return
    else
      leave_queue(lock, owner, free)
      entry.does = entry.does == 'awaits-write' and 'writes' or 'reads'
      hold_lock(lock, owner, entry, now, now + entry.claim_ms)
      -- A hint may fail, or its list be of another type: who waits looks by itself as well.
      local box = keys.lock .. '_wake:' .. owner
      redis.pcall('RPUSH', box, head[2] .. ' ' .. int(lock.fence) .. ' ' .. int(entry.claim_ms))
      redis.pcall('PEXPIRE', box, '60000')
    end
  end
end
