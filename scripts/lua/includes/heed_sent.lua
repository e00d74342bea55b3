--- @include "int"
--- @include "now_ms"
--- @include "read"
-- heed_sent(void) -> resent: whether this was sent before, without an answer; an error if
-- it comes too late. args.sent is empty, or names the process, has its number of this
-- sending, and a mark: 2 where this was sent before; 1 where something else was that may
-- still be on its way; 0. void, a field of the lock, keeps the number of the last that was
-- marked of each process: what it has sent before that, and comes only now, out of some
-- network, would be done after what came of it was told. It is written before the script's
-- other checks: what is refused by these has been answered, too. What is over is taken out by
-- whoever comes next
local VOID_MS = 600000
local function heed_sent(void)
  local mark = string.sub(args.sent, -2)
  if (not void or void == '') and mark ~= ' 1' and mark ~= ' 2' then return false end
  local process, number = string.match(args.sent, '^(%S+) (%d+) ')
  if not process then return false end
  local now, kept, marked = now_ms(), {}, mark ~= ' 0'
  local changed = marked
  for other, last, until_ms in string.gmatch(void or '', '(%S+) (%d+) (%d+)') do
    if other == process and tonumber(number) < tonumber(last) then
      error({err = 'LATE ' .. process .. ' has sent other requests since'})
    end
    if tonumber(until_ms) < now then
      changed = true
    elseif other ~= process or not marked then
      kept[#kept + 1] = table.concat({other, last, until_ms}, ' ')
    end
  end
  if marked then kept[#kept + 1] = table.concat({process, number, int(now + VOID_MS)}, ' ') end
  if changed then redis.call('HSET', keys.lock, 'void', table.concat(kept, ' ')) end
  return mark == ' 2'
end
