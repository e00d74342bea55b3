--- @include "heed_sent"
--- @include "now_ms"
--- @include "read"
-- heed_lock(flow) -> flow | nil, refusal: keep out of others' sections, and refuse one whose own
-- section is over, or what comes too late
local function heed_lock(flow)
  local lock = read('HMGET', keys.lock, 'held', 'void')
  local held = lock[1]
  if not held then error({err = 'CORRUPT ' .. keys.lock .. ' it is gone'}) end
  flow.resent = heed_sent(lock[2])
  if held == '' and args.fence == '' then return flow end
  local now = now_ms()
  lock = read('HMGET', keys.lock, 'fence', 'deadline')
  local writing = held == 'write' and tonumber(lock[2]) > now
  if args.fence ~= '' then
    if writing and lock[1] == args.fence then return flow end
    return nil, {'FENCED'}
  end
  if writing or read('ZCOUNT', keys.lock_readers, '(' .. now, '(inf') > 0 then
    return nil, {'LOCKED'}
  end
  return flow
end
