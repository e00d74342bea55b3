--- @include "read"
-- finished_by(atom, state, key) -> writer | nil: who finished a task before with a result
-- that one of this state would replace; '' is a worker, or unknown. The state alone, set by
-- hand, is no result
local KIND = {SUCCESS = 1, FAILURE = 1, REVERTED = 2, REVERT_FAILURE = 2}
local KEPT = {{'results', 'failure'}, {'revert_results', 'revert_failure'}}
local function finished_by(atom, state, key)
  local kind = KIND[state]
  local found = 0
  for _, field in ipairs(KEPT[kind] or {}) do found = found + read('HEXISTS', key, field) end
  if found == 0 or KIND[atom.state] ~= kind then return nil end
  local mark = read('HMGET', atom.key, 'writer', 'writer_round')
  return mark[1] and tonumber(mark[2]) == atom.round and mark[1] or ''
end
