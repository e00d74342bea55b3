--- @include "int"
-- note_flow(flow, who, more): journal something about a flow that moves nothing; commit_flow
-- writes its revision. more: further fields and their values
local function note_flow(flow, who, more)
  flow.rev = flow.rev + 1
  redis.call('XADD', keys.events, '*', 'rev', int(flow.rev), 'epoch', flow.epoch, 'atom', '',
    'from', flow.state, 'to', flow.state, 'intention', '', 'worker', who, 'attempt', 0,
    unpack(more))
end
