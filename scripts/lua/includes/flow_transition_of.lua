-- flow_transition_of(old, new) -> 'MOVED' | 'IGNORED' | 'INVALID': as taskflow.states has it
local FLOW_ALLOWED = {
  ['PENDING RUNNING'] = true, ['RUNNING SUCCESS'] = true, ['RUNNING FAILURE'] = true,
  ['RUNNING REVERTED'] = true, ['RUNNING SUSPENDING'] = true, ['RUNNING RESUMING'] = true,
  ['SUCCESS RUNNING'] = true, ['FAILURE RUNNING'] = true, ['REVERTED PENDING'] = true,
  ['SUCCESS PENDING'] = true, ['SUSPENDING SUSPENDED'] = true,
  ['SUSPENDING SUCCESS'] = true, ['SUSPENDING FAILURE'] = true,
  ['SUSPENDING REVERTED'] = true, ['SUSPENDING RESUMING'] = true,
  ['SUSPENDED RUNNING'] = true, ['RESUMING SUSPENDED'] = true,
}
local FLOW_RESTING = {
  PENDING = true, FAILURE = true, SUCCESS = true, SUSPENDED = true, REVERTED = true,
}
local FLOW_PASSING = {SUSPENDING = true, SUSPENDED = true, RESUMING = true}
local function flow_transition_of(old, new)
  if old == new then return 'IGNORED' end
  if FLOW_ALLOWED[old .. ' ' .. new] then return 'MOVED' end
  if FLOW_RESTING[old] and FLOW_PASSING[new] then return 'IGNORED' end
  return 'INVALID'
end
