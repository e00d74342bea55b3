-- save_lock(lock): write what the script has made of the lock
local function save_lock(lock)
  if lock.fields[1] then redis.call('HSET', keys.lock, unpack(lock.fields)) end
end
