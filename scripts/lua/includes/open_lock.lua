--- @include "read"
-- open_lock(crowd) -> lock | nil, refusal: the lock, after a look at its queue; and at readers
-- and owners where there are any, or crowd says that there may be some
local LOCK_SCHEMA = 1
local function open_lock(crowd)
  local f = read('HMGET', keys.lock, 'held', 'fence', 'deadline', 'writer', 'schema', 'void')
  if not f[5] then
    if read('EXISTS', keys.lock) == 1 then
      error({err = 'CORRUPT ' .. keys.lock .. ' it has no schema'})
    end
    return nil, {'GONE'}
  end
  local fence, deadline, schema = tonumber(f[2]), tonumber(f[3]), tonumber(f[5])
  if not (f[1] and f[4] and fence and deadline and schema) then
    error({err = 'CORRUPT ' .. keys.lock .. ' fence, deadline or schema is no number'})
  end
  if schema > LOCK_SCHEMA then return nil, {'SCHEMA', f[5]} end
  local waiting, readers = read('ZCARD', keys.lock_queue) - 1, 0
  crowd = crowd or waiting > 0 or f[1] == 'read'
  if crowd then
    readers = read('ZCARD', keys.lock_readers) - 1
    read('HLEN', keys.lock_owners)
  end
  return {
    held = f[1], fence = fence, deadline = deadline, writer = f[4], void = f[6],
    readers = readers, waiting = waiting, crowd = crowd, fields = {},
  }
end
