--- @include "int"
--- @include "read"
--- @include "record_key"
-- expire_records(first, at_ms) -> next | nil: let the records of atoms, from a place in changes
-- on, expire at that time (nil: never); next is the place to go on from
local RECORDS_A_CALL = 200
local function expire_records(first, at_ms)
  local uuids = read('ZRANGE', keys.changes, first, first + RECORDS_A_CALL - 1)
  for _, uuid in ipairs(uuids) do
    for _, kind in ipairs({'atom', 'result'}) do
      local key = record_key(kind, uuid)
      if at_ms then
        redis.call('PEXPIREAT', key, int(at_ms))
      else
        redis.call('PERSIST', key)
      end
    end
  end
  return uuids[RECORDS_A_CALL] and first + RECORDS_A_CALL or nil
end
