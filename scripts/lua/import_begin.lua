#!lua
--[[
  Take the place of a flow that is brought from elsewhere: its collections are there, and the
  flow itself is not, so that nobody can use it before import_finish. Of an import that is cut
  short keys of a flow that is gone are left, which a collection of garbage removes.

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
    id   str   names this import: sent again, it changes nothing

  RETURNS
    {'OK'}            the place is taken: import_save brings what belongs there
    {'EXISTS', name}  the flow is there; nothing was changed
    {'LEFT', key}     something of a flow is there: another import is on its way, or one was
                      cut short
    {'SCHEMA', n}     a newer version wrote it
    {'GONE'}          cannot happen here; open_flow answers it
]]
--- @include "check_acl"
--- @include "mend_collections"
--- @include "new_lock"
--- @include "open_flow"
local flow, refusal = open_flow()
if flow then return {'EXISTS', read('HGET', keys.flow, 'name')} end
if refusal[1] ~= 'GONE' then return refusal end
check_acl(keys.flow)
local mine = read('TYPE', keys.plan).ok == 'hash'
  and read('HGET', keys.plan, 'importing') == args.id
if mine then return {'OK'} end
if read('EXISTS', keys.events) == 1 then return {'LEFT', keys.events} end
for _, key in ipairs(KEYS) do
  if read('EXISTS', key) == 1 then return {'LEFT', key} end
end
new_lock()
mend_collections()
redis.call('HSET', keys.plan, 'importing', args.id)
return {'OK'}
