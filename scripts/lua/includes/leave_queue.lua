-- leave_queue(lock, owner, popped) -> bool: false if it was not in it
local function leave_queue(lock, owner, popped)
  if not popped and (lock.waiting == 0
      or redis.call('ZREM', keys.lock_queue, owner) == 0) then
    return false
  end
  lock.waiting = lock.waiting - 1
  redis.call('HDEL', keys.lock_owners, owner)
  return true
end
