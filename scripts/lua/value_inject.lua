#!lua
--[[
  Add values to those injected into the whole flow, each name on its own; or, if they are
  the whole of them, put them in the place of those.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    atoms         hash    name -> uuid
    workers       zset    worker -> lease deadline
    changes       zset    atom uuid -> rev
    events        stream  the journal
    atom          hash    the injector's details
    result        hash    its values, one field per name
  ARGV
    atom     str     the injector's uuid: the caller derives it from the flow's
    name     str     the injector's name
    joining  int     1: a name that has another value is refused while workers live
    whole    int     1: values of other names are removed
    who      str     who asks, for the journal
    fence    str     the caller's fence, or empty outside any section
    pairs... bytes   name and encoded value in turn

  RETURNS
    {'OK', before, rev}  they are there; before and rev are the flow's revisions
    {'CONFLICT', name}   workers run the flow with another value for this name
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "check_log"
--- @include "change_atom"
--- @include "commit"
--- @include "new_atom"
--- @include "read_atom"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
-- An injector that TaskFlow's own storage has saved has a uuid of its own.
local uuid = read('HGET', keys.atoms, args.name) or args.atom
local atom, before, now = read_atom(uuid), flow.rev, now_ms()
local key = record_key('result', uuid)
local others, changed = {}, {}
for i = 1, #args.pairs, 2 do
  local found = read('HGET', key, 'value:' .. args.pairs[i])
  if found ~= args.pairs[i + 1] then
    changed[#changed + 1] = 'value:' .. args.pairs[i]
    changed[#changed + 1] = args.pairs[i + 1]
    if found then others[#others + 1] = args.pairs[i] end
  end
end
local given, gone = {}, {}
for i = 1, #args.pairs, 2 do given['value:' .. args.pairs[i]] = true end
for _, field in ipairs(args.whole == 1 and read('HKEYS', key) or {}) do
  if string.find(field, '^value:') and not given[field] then gone[#gone + 1] = field end
end
local live = read('ZCOUNT', keys.workers, now, '(inf')
if args.joining == 1 and live > 0 and others[1] then return {'CONFLICT', others[1]} end
local place = read('ZCARD', keys.changes)
if atom and #changed + #gone == 0 then return {'OK', before, flow.rev} end
for i = 1, #changed, 2 do redis.call('HSET', key, changed[i], changed[i + 1]) end
for _, field in ipairs(gone) do redis.call('HDEL', key, field) end
local fields
if not atom then
  redis.call('HSET', keys.atoms, args.name, uuid)
  atom, fields = new_atom(uuid, args.name, 'task', '', place)
end
change_atom(flow, atom, {state = 'SUCCESS', intention = 'EXECUTE'}, args.who, fields)
commit(flow, now)
return {'OK', before, flow.rev}
