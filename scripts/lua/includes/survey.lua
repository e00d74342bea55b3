--- @include "atom_of"
--- @include "item_of"
--- @include "left_undone"
--- @include "read"
--- @include "read_node"
--- @include "waiting_for"
-- survey(flow, plan, worker, capacity, opened, released, settles) -> offer: what this worker may
-- take. Only reads; grant writes. opened: items that the same script makes ready; released:
-- how many it gives back. next tells the worker what to do when it gets no items. stuck: an
-- item that this worker has declined, and there is nothing else.
local SURVEY_LIMIT = 200

local function still_wanted(item, node, what, atom)
  if not atom then return false end
  if what == 'resolve' then return atom.state == 'FAILURE' end
  if left_undone(atom) == item then return true end
  local backward = what == 'revert' or what == 'retry'
  return waiting_for(atom, backward, node) == item
    and not read('HGET', keys.missing, node.number .. (backward and ':revert' or ''))
end

-- Whether this worker has given the item back for want of a value.
local function has_declined(worker, item)
  local workers = read('HGET', keys.plan, 'declined:' .. item)
  return workers and string.find(' ' .. workers, ' ' .. worker .. ' ', 1, true)
end

-- How many items are claimed besides those that this worker gives back now.
local function still_held(worker, released)
  local mine = tonumber(read('HGET', keys.claims, '#' .. worker)) or 0
  return read('HLEN', keys.claims) - 1 - released - ((mine > 0 and mine == released) and 1 or 0)
end

local function survey(flow, plan, worker, capacity, opened, released, settles)
  local offer = {grants = {}, drops = {}, worker = worker, capacity = capacity,
    opened = opened, released = released}
  offer.waiting = read('ZCARD', keys.ready) - 1
  offer.idle = {}
  local runs = flow.state == 'RUNNING' and flow.halt == 0
  -- Where all that is opened is taken here at once, grant has nobody to wake or to note.
  if not runs or plan.busy or flow.resolving ~= '' or #opened ~= capacity
      or offer.waiting > 0 then
    offer.idle = read('ZRANGEBYSCORE', keys.idle, '-inf', '(inf', 'LIMIT', 0, 64)
  end
  offer.next = 'WAIT'
  if flow.resolving ~= '' or not (runs or flow.state == 'SUSPENDING' or flow.halt > 0) then
    return offer
  end
  local candidates, fresh = {}, {}
  for _, entry in ipairs(opened) do
    fresh[entry.item] = entry
    if flow.declined and has_declined(worker, entry.item) then
      offer.declined = entry.item
    else
      candidates[#candidates + 1] = entry
    end
  end
  local limit = math.min(math.max(capacity, 1), SURVEY_LIMIT)
  local seen = offer.waiting > 0 and 0 or SURVEY_LIMIT
  while seen < SURVEY_LIMIT and #candidates < limit + #opened do
    local rows = read('ZRANGEBYSCORE', keys.ready, '-inf', '(inf', 'WITHSCORES',
      'LIMIT', seen, limit)
    for i = 1, #rows, 2 do
      seen = seen + 1
      if fresh[rows[i]] then
        -- It stood there too early; now it is right, and must not be dropped.
        fresh[rows[i]].stored = true
      else
        local number, what = string.match(rows[i], '^0*(%d+):(%a+)$')
        local node = read_node(number)
        local atom = atom_of(node)
        if not still_wanted(rows[i], node, what, atom) then
          offer.drops[#offer.drops + 1] = rows[i]
        elseif flow.declined and has_declined(worker, rows[i]) then
          offer.declined = rows[i]
        else
          candidates[#candidates + 1] =
            {item = rows[i], score = tonumber(rows[i + 1]), atom = atom, stored = true}
        end
      end
    end
    if #rows < 2 * limit then break end
  end
  if candidates[2] then
    table.sort(candidates, function(a, b)
      if a.score ~= b.score then return a.score < b.score end
      return a.item < b.item
    end)
  end
  local first = candidates[1]
  -- One that settles leaves all to the next run; a failure, too.
  offer.resolve = first and not settles and string.sub(first.item, -7) == 'resolve'
  offer.finish = not plan.busy and not offer.resolve and (not first or not runs)
    and still_held(worker, released) == 0
  -- What is left is not for this worker; work_take looks whether it is for anybody.
  offer.stuck = offer.finish and runs and offer.declined
  if offer.stuck then offer.finish = false end
  offer.open = not plan.busy and not offer.resolve and runs
  if offer.finish and capacity == 0 then offer.next = 'FINISH' end
  if plan.busy then
    offer.next = 'PLAN'
  elseif offer.resolve then
    if capacity > 0 then offer.grants[1] = first end
  elseif runs and not settles then
    for i = 1, math.min(capacity, #candidates) do offer.grants[i] = candidates[i] end
  end
  return offer
end
