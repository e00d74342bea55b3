--- @include "int"
--- @include "read"
--- @include "record_key"
-- expire_records(after, at_ms) -> next | nil: let the records of atoms that have changed since a
-- revision expire at that time (nil: never); next is the revision to go on from. What changes
-- meanwhile comes once more, at the end
local RECORDS_A_CALL = 200
local function expire_records(after, at_ms)
  local rows = read('ZRANGEBYSCORE', keys.changes, '(' .. int(after), '+inf', 'WITHSCORES',
    'LIMIT', 0, RECORDS_A_CALL)
  for i = 1, #rows, 2 do
    for _, kind in ipairs({'atom', 'result'}) do
      local key = record_key(kind, rows[i])
      if at_ms then
        redis.call('PEXPIREAT', key, int(at_ms))
      else
        redis.call('PERSIST', key)
      end
    end
  end
  return tonumber(rows[2 * RECORDS_A_CALL])
end
