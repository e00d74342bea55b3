--- @include "read"
-- resolve_waits() -> bool: a failure waits to be resolved; only those have such scores, see
-- want_resolve
local function resolve_waits()
  return read('ZCOUNT', keys.ready, '-inf', -1e14) > 0
end
