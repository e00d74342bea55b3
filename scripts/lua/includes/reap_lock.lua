--- @include "drop_hold"
--- @include "int"
-- reap_lock(lock, now): put out those whose lease is over; at its deadline it is
local function reap_lock(lock, now)
  if lock.held == 'write' and lock.deadline <= now then drop_hold(lock, lock.writer) end
  if lock.readers == 0 then return end
  local dead = redis.call('ZRANGEBYSCORE', keys.lock_readers, '-inf', int(now), 'LIMIT', 0, 1000)
  for _, owner in ipairs(dead) do drop_hold(lock, owner) end
end
