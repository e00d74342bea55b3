--- @include "finished"
--- @include "int"
-- change_atom(flow, atom, to, worker, fields): the one place that writes an atom's state
-- and intention, and with them the journal, rev, changes and the count of unfinished atoms
-- (commit writes the last three)
local function change_atom(flow, atom, to, worker, fields)
  local intention, row, changes = to.intention or atom.intention, fields or {}, flow.changes
  local n, c = #row, #changes
  flow.rev = flow.rev + 1
  local rev = int(flow.rev)
  row[n + 1], row[n + 2], row[n + 3], row[n + 4] = 'state', to.state, 'rev', rev
  if intention ~= atom.intention then row[n + 5], row[n + 6] = 'intention', intention end
  redis.call('HSET', atom.key, unpack(row))
  redis.call('XADD', keys.events, '*', 'rev', rev, 'epoch', flow.epoch, 'atom', atom.uuid,
    'from', atom.state, 'to', to.state, 'intention', intention, 'worker', worker,
    'attempt', int(to.attempt or atom.attempt))
  changes[c + 1], changes[c + 2] = rev, atom.uuid
  if atom.node ~= '' then
    if FINISHED[atom.state] then flow.unfinished = flow.unfinished + 1 end
    if FINISHED[to.state] then flow.unfinished = flow.unfinished - 1 end
  end
  atom.state, atom.intention = to.state, intention
end
