--- @include "note_owner"
-- hold_lock(lock, owner, entry, now, until_ms): let an owner in; the caller knows that it may
local function hold_lock(lock, owner, entry, now, until_ms)
  if entry.does == 'writes' then
    lock.fence = math.max(lock.fence + 1, now)
    lock.held, lock.writer, lock.deadline = 'write', owner, until_ms
    lock.fields = {'held', 'write', 'fence', int(lock.fence), 'deadline', int(until_ms),
      'writer', owner, 'who', entry.who}
    return
  end
  if lock.held ~= 'read' then lock.fields = {'held', 'read', 'writer', ''} end
  lock.held, lock.readers = 'read', lock.readers + 1
  redis.call('ZADD', keys.lock_readers, int(until_ms), owner)
  entry.since, entry.deadline = now, 0
  note_owner(owner, entry)
end
