--- @include "int"
--- @include "read"
-- recall(atom, now) -> requests | nil: nil if this request was carried out before; else what
-- the atom's field requests is to hold: who asked, its number of the request, and until when
-- it may be sent again; the last one of each caller, which numbers them: an earlier one that
-- comes only now, out of some network, is over
local function recall(atom, now)
  local kept = args.owner .. ' ' .. int(args.op_id) .. ' ' .. int(now + args.keep_ms)
  local known = read('HGET', atom.key, 'requests') or ''
  for owner, op_id, until_ms in string.gmatch(known, '(%S+) (%d+) (%d+)') do
    if owner ~= args.owner then
      if tonumber(until_ms) >= now then
        kept = table.concat({kept, owner, op_id, until_ms}, ' ')
      end
    elseif tonumber(op_id) >= args.op_id then
      return nil
    end
  end
  return kept
end
