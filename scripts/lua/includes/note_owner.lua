--- @include "int"
-- note_owner(owner, entry): keep what lock_owner reads
local function note_owner(owner, entry)
  redis.call('HSET', keys.lock_owners, owner, entry.does .. ' ' .. int(entry.since) .. ' '
    .. int(entry.deadline) .. ' ' .. int(entry.claim_ms) .. ' ' .. entry.who)
end
