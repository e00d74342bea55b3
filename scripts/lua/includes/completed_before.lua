-- completed_before(uuid, to, who, since) -> bool: whether an earlier sending has recorded what
-- came of the claim with the token since. The journal knows, as far as it is looked through:
-- its last 1,000 entries. A take-back in between would have raised the attempt
local function completed_before(uuid, to, who, since)
  local last, attempt = '+', nil
  for _ = 1, since and 10 or 0 do
    local page = redis.call('XREVRANGE', keys.events, last, '-', 'COUNT', 100)
    for _, row in ipairs(page) do
      local entry = {}
      for i = 1, #row[2], 2 do entry[row[2][i]] = row[2][i + 1] end
      local rev = tonumber(entry.rev)
      if not rev or rev <= since then return rev == since and entry.attempt == attempt end
      if entry.atom == uuid and entry.to == to and entry.worker == who then
        attempt = entry.attempt
      end
    end
    if not page[100] then return false end
    last = '(' .. page[100][1]
  end
  return false
end
