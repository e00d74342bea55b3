--- @include "int"
-- renew_lock(lock, owner, until_ms): renew a lease that is not over
local function renew_lock(lock, owner, until_ms)
  if lock.held == 'read' then
    redis.call('ZADD', keys.lock_readers, int(until_ms), owner)
  else
    lock.deadline = until_ms
    lock.fields[#lock.fields + 1] = 'deadline'
    lock.fields[#lock.fields + 1] = int(until_ms)
  end
end
