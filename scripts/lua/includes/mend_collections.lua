-- mend_collections(): bring back collections of a flow that are gone, and lost sentinels;
-- what was in them is not known here
local function mend_collections()
  for _, key in ipairs({keys.graph, keys.missing, keys.claims, keys.plan, keys.lock_owners}) do
    redis.call('HSETNX', key, '-', '')
  end
  redis.call('HSETNX', keys.atoms, '', '')
  for _, key in ipairs({keys.ready, keys.workers, keys.idle, keys.lock_readers,
      keys.lock_queue}) do
    redis.call('ZADD', key, 'inf', '-')
  end
  redis.call('ZADD', keys.changes, 0, '-')
  redis.call('SETNX', keys.reached, '')
end
