--- @include "drop_hold"
--- @include "grant_lock"
--- @include "lock_owner"
--- @include "reap_lock"
-- break_lock(lock, holds, now) -> owners: put out those who are named, with the time since
-- when they hold the lock: one who has come anew is not meant
local function break_lock(lock, holds, now)
  local out = {}
  for i = 1, #holds, 2 do
    local entry = lock_owner(lock, holds[i])
    if entry and entry.since == tonumber(holds[i + 1]) and drop_hold(lock, holds[i]) then
      out[#out + 1] = holds[i]
    end
  end
  reap_lock(lock, now)
  grant_lock(lock, now)
  return out
end
