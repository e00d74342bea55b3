--- @include "change_atom"
--- @include "new_atom"
--- @include "read_atom"
-- read_values(name, uuid, given) -> values: the injector, and what of name and value in turn
-- it does not have yet; others are names that have another value
local function read_values(name, uuid, given)
  -- An injector that TaskFlow's own storage has saved has a uuid of its own.
  uuid = read('HGET', keys.atoms, name) or uuid
  local key, changed, others = record_key('result', uuid), {}, {}
  for i = 1, #given, 2 do
    local found = read('HGET', key, 'value:' .. given[i])
    if found ~= given[i + 1] then
      changed[#changed + 1] = 'value:' .. given[i]
      changed[#changed + 1] = given[i + 1]
      if found then others[#others + 1] = given[i] end
    end
  end
  return {name = name, uuid = uuid, key = key, atom = read_atom(uuid), changed = changed,
    others = others, gone = {}, place = read('ZCARD', keys.changes)}
end
-- write_values(flow, values, who): write these; the injector comes to be with the first
local function write_values(flow, values, who)
  local changed, atom, fields = values.changed, values.atom, nil
  if atom and not (changed[1] or values.gone[1]) then return end
  for i = 1, #changed, 2 do redis.call('HSET', values.key, changed[i], changed[i + 1]) end
  for _, field in ipairs(values.gone) do redis.call('HDEL', values.key, field) end
  if not atom then
    redis.call('HSET', keys.atoms, values.name, values.uuid)
    atom, fields = new_atom(values.uuid, values.name, 'task', '', values.place)
  end
  change_atom(flow, atom, {state = 'SUCCESS', intention = 'EXECUTE'}, who, fields)
end
