--- @include "read"
-- check_derived(): touch what follow_edit writes, so that it cannot fail after a write
local function check_derived()
  read('HLEN', keys.missing)
  read('HLEN', keys.plan)
  read('ZCARD', keys.idle)
end
