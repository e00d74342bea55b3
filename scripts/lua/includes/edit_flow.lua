--- @include "enter_flow"
-- edit_flow() -> flow | nil, refusal: enter_flow for a script that changes a flow from outside a
-- run. Whoever changes what was to go after its end wants it to stay: flow_keep comes first
local function edit_flow()
  local flow, refusal = enter_flow()
  if flow and flow.expires then return nil, {'EXPIRES', flow.ended} end
  return flow, refusal
end
