--- @include "grant_atom"
--- @include "wake"
-- grant(flow, offer, now) -> next, items: hand out what survey has found, and wake idle workers,
-- no more than there is work left for
local function grant(flow, offer, now)
  local items, granted = {}, {}
  for i, entry in ipairs(offer.grants) do
    items[i] = grant_atom(flow, offer.worker, entry, now)
    granted[entry] = true
  end
  local left = offer.waiting - #offer.drops
  for _, entry in ipairs(offer.opened) do
    if not granted[entry] then
      redis.call('ZADD', keys.ready, entry.score, entry.item)
      if not entry.stored then left = left + 1 end
    end
  end
  for _, entry in ipairs(offer.grants) do
    if entry.stored then left = left - 1 end
  end
  for _, item in ipairs(offer.drops) do redis.call('ZREM', keys.ready, item) end
  if offer.finish and offer.capacity > 0 then
    flow.rev = flow.rev + 1
    redis.call('HSET', keys.claims, 'finish', offer.worker .. ' ' .. int(flow.rev))
    items[1] = {'finish', flow.rev, '', 0, 0, flow.state}
  end
  if #items ~= offer.released then
    local counter = '#' .. offer.worker
    local mine = redis.call('HINCRBY', keys.claims, counter, #items - offer.released)
    if mine <= 0 then redis.call('HDEL', keys.claims, counter) end
  end
  -- Somebody else has to come where this worker cannot take what there is.
  local others = offer.open and left or 0
  if offer.capacity == 0 and (offer.finish or offer.resolve or offer.next == 'PLAN') then
    others = 1
  end
  wake(offer.idle, others, offer.worker)
  if #items < offer.capacity and offer.next == 'WAIT' and not offer.finish then
    redis.call('ZADD', keys.idle, now, offer.worker)
  end
  return offer.next, items
end
