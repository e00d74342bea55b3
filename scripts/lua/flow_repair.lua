#!lua
--[[
  Compute anew what is derived from the records of a flow, for an operator, and journal it.
  It holds for the revision at which it was found wrong, and for no other.

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
    who         str  who does it, for the journal
    what        str  what was found wrong, for the journal
    reason      str  why it is mended, for the journal
    rev         int  the flow's revision when it was
    unfinished  int  how many atoms of the structure are neither done nor undone
    recount     int  1: count anew what nodes wait for, in a plan
    fence       str  the caller's fence, or empty outside any section
    sent        str  which sending this is: heed_sent tells
    uuids...    str  at most 1000 atoms, in their order: whose place in changes is wrong, that
                     no name leads to, or that somebody holds without a claim

  RETURNS
    {'OK', rev}    it is done; the flow's revision now
    {'MOVED'}      the flow has another revision: look again
    {'LOCKED'}     others hold the lock: wait for a turn, and call again
    {'FENCED'}     the caller's lease on the lock is over
    {'GONE'}       no such flow
    {'SCHEMA', n}  a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_flow"
--- @include "check_acl"
--- @include "check_collections"
--- @include "commit"
--- @include "heed_lock"
--- @include "mend_collections"
--- @include "mend_records"
--- @include "note_flow"
--- @include "rebuild"
--- @include "recount_claims"
local flow, refusal = open_flow()
if not flow then return refusal end
check_acl(keys.flow)
flow, refusal = heed_lock(flow)
if not flow then return refusal end
check_collections()
if flow.rev ~= args.rev then return {'MOVED'} end
local lost, atoms, rows = {}, {}, flow.changes
for _, uuid in ipairs(args.uuids) do
  local atom = read_atom(uuid)
  if atom then
    local more = read('HMGET', atom.key, 'rev', 'name')
    rows[#rows + 1] = more[1]
    rows[#rows + 1] = uuid
    atom.name = more[2]
    atoms[#atoms + 1] = atom
  else
    lost[#lost + 1] = uuid
  end
end
mend_collections()
for _, uuid in ipairs(lost) do redis.call('ZREM', keys.changes, uuid) end
recount_claims()
mend_records(flow, atoms)
flow.unfinished = args.unfinished
if args.recount == 1 then
  rebuild(flow, 'forward,backward')
else
  local planned = false
  for _, name in ipairs(redis.call('HKEYS', keys.plan)) do
    planned = planned or not (name == '-' or name == 'fresh' or string.find(name, '^declined:')
      or string.find(name, '^lack:'))
  end
  plan_flag(flow, planned)
end
note_flow(flow, args.who, {'repaired', args.what, 'reason', args.reason})
commit(flow, now_ms())
return {'OK', flow.rev}
