-- plan_flag(flow, planned): keep in the flow's hash whether its plan has anything in it
local function plan_flag(flow, planned)
  flow.planned = planned
  flow.fields[#flow.fields + 1] = 'planned'
  flow.fields[#flow.fields + 1] = planned and '1' or '0'
end
