--- @include "int"
-- commit_flow(flow, now): write what the script has gathered for the flow's own hash
local function commit_flow(flow, now)
  local row = flow.fields
  local n = #row
  row[n + 1], row[n + 2], row[n + 3], row[n + 4] = 'rev', int(flow.rev), 'updated_at', int(now)
  row[n + 5], row[n + 6] = 'unfinished', int(flow.unfinished)
  redis.call('HSET', keys.flow, unpack(row))
end
