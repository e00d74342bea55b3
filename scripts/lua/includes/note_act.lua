--- @include "note_flow"
-- note_act(flow, act): journal what somebody does to the flow from outside, before it is done: who
-- asks stands in args.who, perhaps with the number of the request behind it, and why in args.reason
local function note_act(flow, act)
  local who = string.gsub(args.who, '/[%d.]+$', '')
  note_flow(flow, who, {'act', act, 'reason', args.reason})
end
