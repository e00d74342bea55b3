--- @include "change_atom"
--- @include "record_key"
-- start_over(flow, atom, who): an atom as if it had never been begun, without its results
local function start_over(flow, atom, who)
  redis.call('UNLINK', record_key('result', atom.uuid))
  local fields = {'failed', '', 'meta:progress', '0.0'}
  if atom.type == 'retry' then fields = {'failed', '', 'entries', 0} end
  change_atom(flow, atom, {state = 'PENDING', intention = 'EXECUTE'}, who, fields)
end
