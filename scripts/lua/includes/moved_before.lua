-- moved_before(uuid, to, who, since) -> old, rev | nil: whether who has moved the atom (or,
-- with '', the flow) there since a revision, and thus an earlier sending of this request
-- has: from which state and with which revision. The journal knows, as far as it is looked
-- through: its last 1,000 entries
local function moved_before(uuid, to, who, since)
  local last = '+'
  for _ = 1, since and 10 or 0 do
    local page = redis.call('XREVRANGE', keys.events, last, '-', 'COUNT', 100)
    for _, row in ipairs(page) do
      local entry = {}
      for i = 1, #row[2], 2 do entry[row[2][i]] = row[2][i + 1] end
      local rev = tonumber(entry.rev)
      if not rev or rev <= since then return nil end
      if entry.atom == uuid and entry.to == to and entry.worker == who then
        return entry.from, rev
      end
    end
    if not page[100] then return nil end
    last = '(' .. page[100][1]
  end
  return nil
end
