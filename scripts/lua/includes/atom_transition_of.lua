-- atom_transition_of(type, old, new) -> bool: as taskflow.states has it
local TASK_ALLOWED = {
  ['PENDING RUNNING'] = true, ['PENDING IGNORE'] = true, ['RUNNING SUCCESS'] = true,
  ['RUNNING FAILURE'] = true, ['FAILURE REVERTING'] = true,
  ['SUCCESS REVERTING'] = true, ['REVERTING REVERTED'] = true,
  ['REVERTING REVERT_FAILURE'] = true, ['REVERTED PENDING'] = true,
  ['IGNORE PENDING'] = true,
}
local RETRY_ALLOWED = {['SUCCESS RETRYING'] = true, ['RETRYING RUNNING'] = true}
local function atom_transition_of(type, old, new)
  local pair = old .. ' ' .. new
  return TASK_ALLOWED[pair] or (type == 'retry' and RETRY_ALLOWED[pair]) or false
end
