--- @include "note_flow"
-- note_act(flow, act): journal what somebody does to the flow from outside, before it is done: who
-- asks (not as which of its requests) stands in args.who, and why in args.reason
local function note_act(flow, act)
  note_flow(flow, string.match(args.who, '^[^/]*'), {'act', act, 'reason', args.reason})
end
