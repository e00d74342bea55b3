-- change_flow(flow, to, worker): the one place that changes a flow's state; commit writes it
local function change_flow(flow, to, worker)
  flow.rev = flow.rev + 1
  redis.call('XADD', keys.events, '*', 'rev', flow.rev, 'epoch', flow.epoch, 'atom', '',
    'from', flow.state, 'to', to, 'intention', '', 'worker', worker, 'attempt', 0)
  flow.state = to
  flow.fields[#flow.fields + 1] = 'state'
  flow.fields[#flow.fields + 1] = to
end
