--- @include "change_atom"
--- @include "write_fields"
-- write_edit(flow, edit) -> rev: write what is to be written of an atom's details, if anything
local KEPT_BESIDE = {{'E', 'failure'}, {'V', 'revert_results'}, {'R', 'revert_failure'}}
local function write_edit(flow, edit)
  local atom, result = edit.atom, record_key('result', edit.uuid)
  if not (edit.fields or edit.moved or edit.sets[1] or edit.drops[1] or edit.results[1]
      or edit.forgets[1]) then
    return edit.rev
  end
  write_fields(result, edit.results, edit.forgets)
  local failed = ''
  for _, kept in ipairs(KEPT_BESIDE) do
    if redis.call('HEXISTS', result, kept[2]) == 1 then failed = failed .. kept[1] end
  end
  if edit.named then redis.call('HSETNX', keys.atoms, edit.name, edit.uuid) end
  if edit.fields or edit.moved then
    -- The fields that scripts read most stand first in a new record.
    change_atom(flow, atom, edit, args.who, edit.fields)
  else
    flow.rev = flow.rev + 1
    flow.changes[#flow.changes + 1] = int(flow.rev)
    flow.changes[#flow.changes + 1] = atom.uuid
  end
  write_fields(atom.key, edit.sets, edit.drops)
  redis.call('HSET', atom.key, 'rev', int(flow.rev))
  if failed ~= atom.failed then redis.call('HSET', atom.key, 'failed', failed) end
  return flow.rev
end
