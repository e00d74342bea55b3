--- @include "int"
-- change_flow(flow, to, worker, intention): the one place that changes a flow's state; commit
-- writes it. An intention is journaled where it is one with all atoms
local function change_flow(flow, to, worker, intention)
  flow.rev = flow.rev + 1
  redis.call('XADD', keys.events, '*', 'rev', int(flow.rev), 'epoch', flow.epoch, 'atom', '',
    'from', flow.state, 'to', to, 'intention', intention or '', 'worker', worker, 'attempt', 0)
  flow.state = to
  flow.fields[#flow.fields + 1] = 'state'
  flow.fields[#flow.fields + 1] = to
end
