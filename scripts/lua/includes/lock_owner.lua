--- @include "read"
-- lock_owner(lock, owner) -> entry | nil: what an owner does (reads, writes, awaits-read or
-- awaits-write), since when, until when a waiter is believed to be alive, for how long it is
-- believed without a sign of life, and who it is. Of a writer the lock itself tells: its fence
-- is the time when it came
local function lock_owner(lock, owner)
  if lock.held == 'write' and lock.writer == owner then
    local who = read('HGET', keys.lock, 'who') or ''
    return {does = 'writes', since = lock.fence, deadline = 0, claim_ms = 0, who = who}
  end
  local does, since, deadline, claim_ms, who = string.match(
    lock.crowd and read('HGET', keys.lock_owners, owner) or '',
    '^(%S+) (%d+) (%d+) (%d+) (.*)$')
  if not does then return nil end
  return {
    does = does, since = tonumber(since), deadline = tonumber(deadline),
    claim_ms = tonumber(claim_ms), who = who,
  }
end
