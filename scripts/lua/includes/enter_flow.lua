--- @include "check_acl"
--- @include "check_there"
--- @include "heed_lock"
--- @include "open_flow"
-- enter_flow() -> flow | nil, refusal: open_flow for a script that changes the flow
local function enter_flow()
  local flow, refusal = open_flow()
  if not flow then return nil, refusal end
  check_acl(keys.flow)
  check_there(keys.lasting)
  return heed_lock(flow)
end
