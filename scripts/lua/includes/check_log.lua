--- @include "read"
-- check_log(): touch what change_atom and commit append to, so that they cannot fail
local function check_log()
  read('ZCARD', keys.changes)
  read('XLEN', keys.events)
end
