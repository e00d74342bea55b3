--- @include "read"
-- open_flow() -> flow | nil, refusal: what every script must know of its flow
local SCHEMA = 1
local function open_flow()
  local f = read('HMGET', keys.flow, 'state', 'run', 'rev', 'schema', 'ended', 'epoch',
    'unfinished', 'halt', 'resolving', 'reverting', 'never_resolve', 'planned', 'declined',
    'expires_at')
  if not f[4] then
    if read('EXISTS', keys.flow) == 1 then
      error({err = 'CORRUPT ' .. keys.flow .. ' it has no schema'})
    end
    return nil, {'GONE'}
  end
  local schema, run, rev = tonumber(f[4]), tonumber(f[2]), tonumber(f[3])
  if not (schema and run and rev) then
    error({err = 'CORRUPT ' .. keys.flow .. ' schema, run or rev is no number'})
  end
  if schema > SCHEMA then return nil, {'SCHEMA', f[4]} end
  return {
    state = f[1] ~= '' and f[1] or 'PENDING', run = run, ended = tonumber(f[5]), rev = rev,
    epoch = f[6], unfinished = tonumber(f[7]), halt = tonumber(f[8]), resolving = f[9],
    reverting = f[10] == '1', never_resolve = f[11] == '1', planned = f[12] == '1',
    declined = f[13] == '1', expires = tonumber(f[14] or ''),
    fields = {}, changes = {},
  }
end
