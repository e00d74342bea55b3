#!lua
--[[
  Bring a part of a flow whose place import_begin has taken: records, collections, and the
  journal with the states that it tells of, as they were elsewhere.

  KEYS
    flow     hash    the flow itself
    atoms    hash    name -> uuid
    graph    hash    the structure
    missing  hash    what each node waits for
    ready    zset    work that may be taken
    claims   hash    who holds which item
    workers  zset    worker -> lease deadline
    plan     hash    a change in progress
    reached  string  bitmap of the nodes that a walk has come to
    changes  zset    atom uuid -> rev
    events   stream  the journal
  ARGV
    id        str    names the import
    part      int    numbers the calls from 1: one that was done is not done again
    parts...  bytes  each is a kind, a subject, and a list with its length before it: fields
                     and values (atom or result with its uuid, the name of a hash), scores
                     and members (the name of a zset), fields and values of an entry (event
                     with its id), or the bytes of the bitmap (reached)

  RETURNS
    {'OK'}            they are there
    {'STALE'}         the place is another's by now, or a part was left out
    {'EXISTS', name}  the flow is there; nothing was changed
    {'SCHEMA', n}     a newer version wrote it
    {'GONE'}          cannot happen here; open_flow answers it
]]
--- @include "check_acl"
--- @include "counted"
--- @include "open_flow"
--- @include "record_key"
--- @include "write_fields"
local flow, refusal = open_flow()
if flow then return {'EXISTS', read('HGET', keys.flow, 'name')} end
if refusal[1] ~= 'GONE' then return refusal end
check_acl(keys.flow)
local HASHES = {atoms = keys.atoms, graph = keys.graph, missing = keys.missing,
  claims = keys.claims, plan = keys.plan}
local ZSETS = {ready = keys.ready, workers = keys.workers}
for _, key in pairs(HASHES) do read('HLEN', key) end
for _, key in ipairs({keys.ready, keys.workers, keys.changes}) do read('ZCARD', key) end
read('STRLEN', keys.reached)
read('XLEN', keys.events)
local known = read('HMGET', keys.plan, 'importing', 'imported')
local done = tonumber(known[2] or 0)
if known[1] ~= args.id or done < args.part - 1 then return {'STALE'} end
if done >= args.part then return {'OK'} end
-- Refused here, before the first write: what a command would refuse in the middle.
local function is_sound(part)
  local words, kind = part.words, part.kind
  if kind == 'reached' then return words[1] end
  if #words % 2 ~= 0 or (part.rev and not tonumber(part.rev)) then return false end
  if part.key or HASHES[kind] then return true end
  for i = 1, ZSETS[kind] and #words or 0, 2 do
    if not tonumber(words[i]) then return false end
  end
  return words[1] and (ZSETS[kind] or string.match(part.subject, '^%d+%-%d+$') and kind == 'event')
end
local parts, at = {}, 1
while at <= #args.parts do
  local part = {kind = args.parts[at], subject = args.parts[at + 1]}
  part.words, at = counted(args.parts, at + 2)
  if part.kind == 'atom' or part.kind == 'result' then
    part.key = record_key(part.kind, part.subject)
    read('HLEN', part.key)
  end
  for i = 1, part.kind == 'atom' and #part.words or 0, 2 do
    if part.words[i] == 'rev' then part.rev = part.words[i + 1] end
  end
  if not is_sound(part) then error({err = 'ERR a part of the import is not understood'}) end
  parts[#parts + 1] = part
end
for _, part in ipairs(parts) do
  if part.key or HASHES[part.kind] then
    write_fields(part.key or HASHES[part.kind], part.words, {})
    if part.rev then redis.call('ZADD', keys.changes, part.rev, part.subject) end
  elseif ZSETS[part.kind] then
    redis.call('ZADD', ZSETS[part.kind], unpack(part.words))
  elseif part.kind == 'event' then
    redis.call('XADD', keys.events, part.subject, unpack(part.words))
  else
    redis.call('SET', keys.reached, part.words[1])
  end
end
redis.call('HSET', keys.plan, 'imported', args.part)
return {'OK'}
