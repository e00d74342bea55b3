--- @include "check_atom"
--- @include "counted"
--- @include "moved_before"
--- @include "new_atom"
-- read_edits(flow, details) -> edits | nil, refusal: what is to be written of each atom's details
local function read_edit(words, at)
  local edit = {uuid = words[at], name = words[at + 1], type = words[at + 2],
    state = words[at + 3], intention = words[at + 4]}
  edit.sets, at = counted(words, at + 5)
  edit.drops, at = counted(words, at)
  edit.results, at = counted(words, at)
  edit.forgets, at = counted(words, at)
  return edit, at
end

local function read_edits(flow, words)
  local edits, at, place = {}, 1, read('ZCARD', keys.changes)
  while words[at] do
    local edit
    edit, at = read_edit(words, at)
    local atom, refusal = check_atom(edit.uuid, edit.type)
    if refusal then return nil, refusal end
    local from = atom or {state = '', intention = 'EXECUTE'}
    if edit.state == '' then edit.state = from.state end
    if edit.intention == '' then edit.intention = from.intention end
    edit.moved = edit.state ~= from.state or edit.intention ~= from.intention
    if edit.moved and moved_before(flow, edit.uuid, args.who, 0) then
      edit.moved = false
      edit.sets, edit.drops, edit.results, edit.forgets = {}, {}, {}, {}
    end
    if atom then
      edit.rev = tonumber(read('HGET', atom.key, 'rev'))
      if edit.moved or edit.results[1] or edit.forgets[1] then
        refusal = check_held(atom)
        if refusal then return nil, refusal end
      end
    elseif args.create == 0 then
      return nil, {'UNKNOWN', edit.uuid}
    else
      atom, edit.fields = new_atom(edit.uuid, edit.name, edit.type, '', place)
      edit.rev, edit.named = 0, read('HEXISTS', keys.atoms, edit.name) == 0
      place = place + 1
    end
    edit.atom, edits[#edits + 1] = atom, edit
  end
  return edits
end
