-- moved_before(flow, uuid, who, since) -> old, rev | nil: from which state an earlier sending
-- of this request has moved the atom (or, with '', the flow), and with which revision. who
-- names the request, and since is a revision from before it. The journal knows, as far as it
-- is looked through: its last 1,000 entries; and only what was sent before is looked for
local function moved_before(flow, uuid, who, since)
  local last = '+'
  for _ = 1, flow.resent and 10 or 0 do
    local page = redis.call('XREVRANGE', keys.events, last, '-', 'COUNT', 100)
    for _, row in ipairs(page) do
      local entry = {}
      for i = 1, #row[2], 2 do entry[row[2][i]] = row[2][i + 1] end
      local rev = tonumber(entry.rev)
      if not rev or rev <= since then return nil end
      if entry.atom == uuid and entry.worker == who then return entry.from, rev end
    end
    if not page[100] then return nil end
    last = '(' .. page[100][1]
  end
  return nil
end
