-- drop_hold(lock, owner) -> bool: put an owner out, whatever it holds; false: it held nothing
local function drop_hold(lock, owner)
  if lock.held == 'write' and lock.writer == owner then
    lock.held, lock.writer, lock.fields = '', '', {'held', '', 'writer', ''}
    return true
  end
  if lock.readers == 0 or redis.call('ZREM', keys.lock_readers, owner) == 0 then return false end
  redis.call('HDEL', keys.lock_owners, owner)
  lock.readers = lock.readers - 1
  if lock.readers == 0 then lock.held, lock.fields = '', {'held', '', 'writer', ''} end
  return true
end
