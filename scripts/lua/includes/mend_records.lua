--- @include "change_atom"
--- @include "read_atom"
-- mend_records(flow, atoms): names lead to the atoms again, the first of a name first; and what
-- its holder has no claim on belongs to nobody, so that it is offered when all is counted anew
local function mend_records(flow, atoms)
  local claimed, rows = {}, redis.call('HGETALL', keys.claims)
  for i = 2, #rows, 2 do claimed[rows[i]] = true end
  for _, atom in ipairs(atoms) do
    redis.call('HSETNX', keys.atoms, atom.name, atom.uuid)
    if atom.owner ~= '' and not claimed[atom.owner .. ' ' .. atom.token] then
      change_atom(flow, atom, {state = atom.state}, args.who, {'owner', ''})
    end
  end
  if flow.resolving == '' or redis.call('HGET', keys.claims, flow.resolving) then return end
  local score = redis.call('HGET', keys.flow, 'resolve_score') or 0
  redis.call('ZADD', keys.ready, score, flow.resolving)
  flow.fields[#flow.fields + 1] = 'resolving'
  flow.fields[#flow.fields + 1] = ''
end
