-- moved_before(uuid, to) -> old, rev | nil: whether an earlier sending of this request has
-- moved the atom (or, with '', the flow), from which state and with which revision. The
-- journal knows: args.who names the thread that asks, which asks for one thing at a time;
-- args.again is the revision that it knew before it asked for this the first time
local function moved_before(uuid, to)
  local since, last = tonumber(args.again), '+'
  while since do
    local page = redis.call('XREVRANGE', keys.events, last, '-', 'COUNT', 100)
    for _, row in ipairs(page) do
      local entry = {}
      for i = 1, #row[2], 2 do entry[row[2][i]] = row[2][i + 1] end
      local rev = tonumber(entry.rev)
      if not rev or rev <= since then return nil end
      if entry.atom == uuid and entry.to == to and entry.worker == args.who then
        return entry.from, rev
      end
    end
    if not page[100] then return nil end
    last = '(' .. page[100][1]
  end
  return nil
end
