--- @include "expire_records"
-- expire_flow(at_ms) -> next: let the keys of a flow expire at that time, and its first records;
-- next, if it is more than 0, is where flow_expire goes on
local function expire_flow(at_ms)
  for _, key in ipairs(KEYS) do redis.call('PEXPIREAT', key, int(at_ms)) end
  return expire_records(0, at_ms) or 0
end
