--- @include "change_atom"
-- grant_atom(flow, worker, entry, now) -> item: a worker holds an item from now on, as the
-- scripts answer it: its name, token, atom, round, attempt and the state it came from
local TAKEN = {execute = 'RUNNING', revert = 'REVERTING', retry = 'RETRYING', decide = 'PENDING'}
local BUSY = {RUNNING = true, REVERTING = true, RETRYING = true}

local function take_atom(flow, worker, atom, what, now)
  local from, token = atom.state, int(flow.rev + 1)
  local row = {'owner', worker, 'token', token, 'started_at', int(now)}
  if what == 'execute' and from == 'PENDING' then
    atom.round = atom.round + 1
    row[7], row[8] = 'round', int(atom.round)
  end
  if what ~= 'decide' then
    if not BUSY[from] and atom.attempt > 0 then
      atom.attempt = 0
      row[#row + 1] = 'attempt'
      row[#row + 1] = 0
    end
    if atom.type == 'task' and (from ~= 'PENDING' or atom.round > 1) then
      row[#row + 1] = 'meta:progress'
      row[#row + 1] = '0.0'
    end
  end
  change_atom(flow, atom, {state = TAKEN[what]}, worker, row)
end

local function grant_atom(flow, worker, entry, now)
  local atom, from, token = entry.atom, entry.atom.state, flow.rev + 1
  local what = string.sub(entry.item, 10)
  if what == 'resolve' then
    flow.rev = token
    for name, value in pairs({resolving = entry.item, resolve_score = int(entry.score)}) do
      flow.fields[#flow.fields + 1] = name
      flow.fields[#flow.fields + 1] = value
    end
  else
    take_atom(flow, worker, atom, what, now)
  end
  redis.call('HSET', keys.claims, entry.item, worker .. ' ' .. int(token))
  if entry.stored then redis.call('ZREM', keys.ready, entry.item) end
  return {entry.item, token, atom.uuid, atom.round, atom.attempt, from}
end
