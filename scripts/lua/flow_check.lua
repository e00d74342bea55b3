#!lua flags=no-writes
--[[
  Look whether a flow, and details of its atoms, can be written: what stands in the way of
  a change of several calls is found before the first of them.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    lock_queue    zset    who waits for the lock
    lock_owners   hash    who all these are
    atoms         hash    name -> uuid
    graph         hash    the structure
    missing       hash    what each node waits for
    ready         zset    work that may be taken
    claims        hash    who holds which item
    workers       zset    worker -> lease deadline
    idle          zset    workers that wait
    plan          hash    a change in progress
    reached       string  bitmap of the nodes that a walk has come to
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    details...  str*3  for each atom, at most 1000: uuid, type, and 1 if more than its
                     metadata would be changed

  RETURNS
    {'OK'}                       it is there
    {'NEW'}                      there is nothing of it
    {'LEFT'}                     it is gone, and has left records: flow_remove first
    {'HELD', uuid, owner, live}  a worker holds this atom; live = 0 if its lease is over
    {'KIND', uuid, type}         this atom is of another type
    {'SCHEMA', n}                a newer version wrote it
    {'GONE'}                     cannot happen here; open_flow answers it
]]
--- @include "open_flow"
--- @include "check_atom"
--- @include "check_collections"
local flow, refusal = open_flow()
if not flow and refusal[1] ~= 'GONE' then return refusal end
if flow then
  check_collections()
else
  local named = read('ZCARD', keys.changes) > 0
  if named and read('EXISTS', keys.plan, keys.events) == 0 then return {'LEFT'} end
  check_absent(KEYS, 'flow')
end
for i = 1, #args.details, 3 do
  local atom, obstacle = check_atom(args.details[i], args.details[i + 1])
  if atom and not obstacle and args.details[i + 2] == '1' then obstacle = check_held(atom) end
  if obstacle then return obstacle end
end
return {flow and 'OK' or 'NEW'}
