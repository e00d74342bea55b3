-- plan_flag(flow, planned): keep in the flow's hash whether there is a plan to carry on
local function plan_flag(flow, planned)
  flow.planned = planned
  flow.fields[#flow.fields + 1] = 'planned'
  flow.fields[#flow.fields + 1] = planned and '1' or '0'
end
