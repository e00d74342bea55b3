--- @include "expire_records"
-- expire_flow(at_ms) -> next: let the keys of a flow expire at that time, and its first records;
-- next, if it is more than 0, is where flow_expire goes on. As long as there are more records,
-- changes, which names them, does not expire: what is left by who dies amid this can be found
local function expire_flow(at_ms)
  local after = expire_records(0, at_ms)
  for _, key in ipairs(KEYS) do
    if key ~= keys.changes or not after then redis.call('PEXPIREAT', key, int(at_ms)) end
  end
  return after or 0
end
