--- @include "atom_of"
--- @include "change_atom"
--- @include "drop_claim"
--- @include "halt_flow"
--- @include "left_undone"
--- @include "mark_result"
--- @include "put_back"
--- @include "read_node"
--- @include "want_resolve"
-- claimed_by(worker) -> entries: what a worker holds, read before anything is written
local TAKE_BACK_LIMIT = 200
local function claimed_by(worker)
  local entries, rows = {}, read('HGETALL', keys.claims)
  for i = 1, #rows, 2 do
    if string.match(rows[i + 1], '^(%S+) ') == worker and #entries < TAKE_BACK_LIMIT then
      local number, what = string.match(rows[i], '^0*(%d+):(%a+)$')
      local node = number and read_node(number)
      local atom = node and atom_of(node)
      if atom then read('HLEN', record_key('result', atom.uuid)) end
      local score = what == 'resolve' and read('HGET', keys.flow, 'resolve_score')
      entries[#entries + 1] = {item = rows[i], what = what, node = node, atom = atom,
        score = tonumber(score or nil)}
    end
  end
  return entries, tonumber(read('HGET', keys.claims, '#' .. worker)) or 0
end

-- give_up(flow, atom, payload): the atom has cost as many workers as it may
local function give_up(flow, atom, payload)
  local state = atom.state == 'REVERTING' and 'REVERT_FAILURE' or 'FAILURE'
  local failed = mark_result(record_key('result', atom.uuid), atom, state, payload)
  change_atom(flow, atom, {state = state}, atom.owner, {'owner', '', 'failed', failed})
  if state == 'FAILURE' and not flow.never_resolve then
    want_resolve(flow, atom)
  else
    halt_flow(flow, payload)
  end
end

-- ask_again(flow, entry, worker, cost, limit, payload): code that decides about an atom, and
-- not the atom itself, was running; if it has cost too many workers, the run ends
local function ask_again(flow, entry, worker, cost, limit, payload)
  local atom, attempt = entry.atom, entry.atom.attempt + cost
  local halted = attempt >= limit and cost == 1
  if halted then
    attempt = 0
    halt_flow(flow, payload)
  end
  change_atom(flow, atom, {state = atom.state, attempt = attempt}, worker,
    {'owner', '', 'attempt', attempt})
  if entry.what == 'decide' then
    put_back(flow, entry.node, atom, entry.item)
  else
    -- A run that is halted asks no more: the next one does.
    if not halted then want_resolve(flow, atom, entry.score) end
    flow.fields[#flow.fields + 1] = 'resolving'
    flow.fields[#flow.fields + 1] = ''
  end
end

-- take_back(flow, entry, worker, mine, cost, limit, payload): put one item back into ready;
-- cost is 1 if the atom is charged with the loss of its worker
local function take_back(flow, entry, worker, mine, cost, limit, payload)
  local atom = entry.atom
  -- A retry that has not begun to run yet has done no harm.
  if atom and atom.state == 'RETRYING' then cost = 0 end
  if atom and (entry.what == 'resolve' or entry.what == 'decide') then
    ask_again(flow, entry, worker, cost, limit, payload)
  elseif atom and cost == 1 and atom.attempt + 1 >= limit then
    give_up(flow, atom, payload)
  elseif atom then
    local attempt = atom.attempt + cost
    change_atom(flow, atom, {state = atom.state, attempt = attempt}, worker,
      {'owner', '', 'attempt', attempt})
    atom.owner = ''
    local item = left_undone(atom)
    if item then redis.call('ZADD', keys.ready, -entry.node.priority, item) end
  end
  drop_claim(worker, entry.item, mine)
end
