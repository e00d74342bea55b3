--- @include "read"
-- check_collections(): every collection of the flow is of its type, so that no write can fail
local function check_collections()
  for _, key in ipairs({keys.atoms, keys.graph, keys.missing, keys.claims, keys.plan,
      keys.lock, keys.lock_owners}) do
    read('HLEN', key)
  end
  for _, key in ipairs({keys.ready, keys.workers, keys.idle, keys.changes,
      keys.lock_readers, keys.lock_queue}) do
    read('ZCARD', key)
  end
  read('STRLEN', keys.reached)
  read('XLEN', keys.events)
end
