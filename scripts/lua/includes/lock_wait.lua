--- @include "read"
-- lock_wait(lock, now) -> ms: after which time those who hold the lock will all be gone,
-- unless they renew their leases
local function lock_wait(lock, now)
  local last = lock.deadline
  if lock.held ~= 'write' then
    last = read('ZREVRANGEBYSCORE', keys.lock_readers, '(inf', '-inf', 'WITHSCORES',
      'LIMIT', 0, 1)[2] or now
  end
  return math.max(0, tonumber(last) - now)
end
