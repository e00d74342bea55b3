#!lua
--[[
  Let a flow that was brought from elsewhere be there, and journal who brought it from where.
  It begins another epoch: rev goes on from the server's clock, so that no revision and no
  token is given twice, wherever the flow has been.

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
    id         str    names the import: sent again, it changes nothing
    who        str    who does it, for the journal
    source     str    from where, for the journal
    told       str    names the server where it does not name itself
    names      int    how many atoms have names
    records    int    how many atoms there are
    links      int    how many fields the structure has
    entries    int    how many entries the journal has
    fields...  bytes*2  of the flow's own hash: field and value in turn

  RETURNS
    {'OK', rev}       it is there; its revision now
    {'STALE'}         the place is another's by now, or not all of it is there
    {'EXISTS', name}  another flow is there; nothing was changed
    {'SCHEMA', n}     a newer version wrote it
    {'GONE'}          cannot happen here; open_flow answers it
]]
--- @include "check_acl"
--- @include "check_collections"
--- @include "commit_flow"
--- @include "note_flow"
--- @include "now_ms"
--- @include "open_flow"
--- @include "server_name"
--- @include "write_fields"
local there, refusal = open_flow()
if there then
  if read('HGET', keys.flow, 'imported') == args.id then return {'OK', there.rev} end
  return {'EXISTS', read('HGET', keys.flow, 'name')}
end
if refusal[1] ~= 'GONE' then return refusal end
check_acl(keys.flow)
check_collections()
if read('HGET', keys.plan, 'importing') ~= args.id or read('HLEN', keys.atoms) ~= args.names + 1
    or read('ZCARD', keys.changes) ~= args.records + 1 or read('HLEN', keys.graph) ~= args.links + 1
    or read('XLEN', keys.events) ~= args.entries then
  return {'STALE'}
end
local known, now = {}, now_ms()
for i = 1, #args.fields, 2 do known[args.fields[i]] = args.fields[i + 1] end
local flow = {state = known.state ~= '' and known.state or 'PENDING',
  epoch = int(tonumber(known.epoch) + 1), rev = math.max(tonumber(known.rev), now * 1000),
  unfinished = tonumber(known.unfinished)}
flow.fields = {'epoch', flow.epoch, 'server', server_name(args.told), 'imported', args.id}
write_fields(keys.flow, args.fields, {})
redis.call('HDEL', keys.plan, 'importing', 'imported')
note_flow(flow, args.who, {'act', 'import', 'reason', args.source})
commit_flow(flow, now)
return {'OK', flow.rev}
