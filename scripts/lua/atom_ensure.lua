#!lua
--[[
  Give each named atom its details, unless it has them: one detail per name, whoever asks.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    atoms         hash    name -> uuid
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    who        str     who asks, for the journal
    fence      str     the caller's fence, or empty outside any section
    sent       str     which sending this is: heed_sent tells
    records... bytes*6   for each atom, at most 1000: name, type (task or retry), version,
                       uuid if it is new, what it provides and what it requires (JSON)

  RETURNS
    {'OK', before, rev, uuids}  the uuid of each, in the order asked; before and rev are
                                the flow's revisions around the call
    {'DUPLICATE', name, type}   that name belongs to an atom of another type
    {'EXPIRES', ended}          the flow is to go: flow_keep first, and call again
    {'LOCKED'}                  others hold the lock: wait for a turn, and call again
    {'FENCED'}                  the caller's lease on the lock is over
    {'GONE'}                    no such flow
    {'SCHEMA', n}               a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "check_log"
--- @include "change_atom"
--- @include "commit"
--- @include "new_atom"
--- @include "read_atom"
--- @include "record_key"
-- named_values(i, stored) -> fields: what the record at i provides and requires, where it does
-- or has done so
local function named_values(i, stored)
  local fields = {}
  for place, name in ipairs({'provides', 'requires'}) do
    local value = args.records[i + 3 + place]
    if value ~= '' or stored[place] then
      fields[#fields + 1], fields[#fields + 2] = name, value
    end
  end
  return fields
end

local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local before, uuids, fresh, named = flow.rev, {}, {}, {}
local place = read('ZCARD', keys.changes)
for i = 1, #args.records, 6 do
  local name, type, uuid = args.records[i], args.records[i + 1], args.records[i + 3]
  local known = named[name] or read('HGET', keys.atoms, name)
  if known then
    local atom = not named[name] and read_atom(known)
    if not (named[name] or atom) then
      error({err = 'CORRUPT ' .. record_key('atom', known) .. ' it is gone'})
    end
    local stored = atom and read('HMGET', atom.key, 'provides', 'requires', 'type')
      or {false, false, named[known]}
    if stored[3] ~= type then return {'DUPLICATE', name, stored[3]} end
    uuids[#uuids + 1] = known
    local differs = (stored[1] or '') ~= args.records[i + 4]
      or (stored[2] or '') ~= args.records[i + 5]
    if atom and (differs or atom.state == '') then
      fresh[#fresh + 1] = {atom = atom, fields = named_values(i, stored)}
    end
  else
    local atom, fields = new_atom(uuid, name, type, args.records[i + 2], place)
    place = place + 1
    -- What a flow of this name has left behind, whose end was not told, is not adopted.
    local result = record_key('result', uuid)
    local stray = read('HLEN', atom.key) + read('HLEN', result) > 0
    for _, word in ipairs(named_values(i, {})) do fields[#fields + 1] = word end
    fresh[#fresh + 1] = {atom = atom, name = name, fields = fields, stray = stray and result}
    named[name], named[uuid] = uuid, type
    uuids[#uuids + 1] = uuid
  end
end
if #fresh > 0 then
  for _, entry in ipairs(fresh) do
    if entry.stray then redis.call('UNLINK', entry.atom.key, entry.stray) end
    if entry.name then redis.call('HSET', keys.atoms, entry.name, entry.atom.uuid) end
    local state = entry.atom.state ~= '' and entry.atom.state or 'PENDING'
    change_atom(flow, entry.atom, {state = state, intention = entry.name and 'EXECUTE'}, args.who,
      entry.fields)
  end
  commit(flow, now_ms())
end
return {'OK', before, flow.rev, uuids}
