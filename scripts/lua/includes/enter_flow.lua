--- @include "now_ms"
--- @include "check_acl"
--- @include "check_there"
--- @include "open_flow"
-- enter_flow() -> flow | nil, refusal: open_flow for a script that changes the flow. It keeps
-- out of others' sections, and refuses one whose own section is over
local function enter_flow()
  local flow, refusal = open_flow()
  if not flow then return nil, refusal end
  check_acl(keys.flow)
  check_there()
  local held = read('HGET', keys.lock, 'held')
  if held == '' and args.fence == '' then return flow end
  if not held then error({err = 'CORRUPT ' .. keys.lock .. ' it is gone'}) end
  local lock, now = read('HMGET', keys.lock, 'fence', 'deadline'), now_ms()
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
