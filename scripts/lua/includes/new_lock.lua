-- new_lock(): create a lock that nobody holds; its keys exist until it is deleted. What
-- other scripts read most stands first: a small hash is searched from its beginning
local function new_lock()
  redis.call('HSET', keys.lock, 'held', '', 'fence', 0, 'deadline', 0, 'writer', '',
    'schema', 1, 'who', '', 'ticket', 0)
  redis.call('ZADD', keys.lock_readers, 'inf', '-')
  redis.call('ZADD', keys.lock_queue, 'inf', '-')
  redis.call('HSET', keys.lock_owners, '-', '')
end
