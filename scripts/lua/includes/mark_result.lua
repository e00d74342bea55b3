--- @include "int"
-- mark_result(key, atom, state, payload) -> failed: keep what taskflow's details keep of a
-- result in each state: those of a task one, those of a retry (which has atom.entries, the
-- number of them) a history. failed names what is kept beside the results: E for a failure
-- of execute, R for one of revert, V for results of revert
local RESULT_FIELD = {
  SUCCESS = 'results', FAILURE = 'failure', REVERTED = 'revert_results',
  REVERT_FAILURE = 'revert_failure',
}
local function mark_result(key, atom, state, payload)
  local field = RESULT_FIELD[state]
  if not field then return atom.failed end
  if state == 'SUCCESS' and atom.entries then
    atom.entries = atom.entries + 1
    field = 'entry:' .. int(atom.entries)
  end
  redis.call('HSET', key, field, payload)
  local executed = string.match(atom.failed, 'E') or ''
  if state == 'SUCCESS' then
    if atom.failed ~= '' then
      redis.call('HDEL', key, 'failure', 'revert_results', 'revert_failure')
    end
    return ''
  elseif state == 'FAILURE' then
    redis.call('HDEL', key, 'results', 'revert_results', 'revert_failure')
    return 'E'
  elseif state == 'REVERTED' then
    redis.call('HDEL', key, 'revert_failure')
    return executed .. 'V'
  end
  redis.call('HDEL', key, 'results', 'revert_results')
  return executed .. 'R'
end
