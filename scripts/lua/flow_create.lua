#!lua
--[[
  Create a flow with all its collections, unless it exists: get-or-create by uuid.

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
    uuid     str     the flow's uuid
    name     str     its name
    book     str     uuid of its logbook, or empty
    schema   int     the layout that the caller writes
    state    str     its state, or empty for none yet
    who      str     who creates it, for the journal
    told     str     names the server where it does not name itself
    pairs... bytes*2   metadata: field and JSON value in turn

  RETURNS
    {'CREATED', ms}   it is new, made at that time
    {'EXISTS', name}  it was there; nothing was changed
    {'SCHEMA', n}     a newer version wrote it
    {'GONE'}          cannot happen here; open_flow answers it
]]
--- @include "now_ms"
--- @include "open_flow"
--- @include "check_absent"
--- @include "new_lock"
--- @include "server_name"
local flow, refusal = open_flow()
if flow then return {'EXISTS', read('HGET', keys.flow, 'name')} end
if refusal[1] ~= 'GONE' then return refusal end
check_absent(KEYS, 'flow')
local now = now_ms()
-- The fields that scripts read most stand first: a small hash is searched from its beginning.
redis.call('HSET', keys.flow, 'name', args.name, 'state', args.state, 'run', 1, 'rev', 1,
  'schema', args.schema, 'ended', 0, 'epoch', 1, 'unfinished', 0, 'halt', 0,
  'resolving', '', 'reverting', 0, 'never_resolve', 0, 'planned', 0, 'declined', 0,
  'updated_at', now, 'uuid', args.uuid, 'book', args.book, 'created_at', now,
  'server', server_name(args.told))
for i = 1, #args.pairs, 2 do
  redis.call('HSET', keys.flow, 'meta:' .. args.pairs[i], args.pairs[i + 1])
end
new_lock()
redis.call('HSET', keys.atoms, '', '')
redis.call('HSET', keys.graph, '-', '')
redis.call('HSET', keys.missing, '-', '')
redis.call('HSET', keys.claims, '-', '')
redis.call('HSET', keys.plan, '-', '')
redis.call('SET', keys.reached, '')
redis.call('ZADD', keys.ready, 'inf', '-')
redis.call('ZADD', keys.workers, 'inf', '-')
redis.call('ZADD', keys.idle, 'inf', '-')
redis.call('ZADD', keys.changes, 0, '-')
redis.call('XADD', keys.events, '*', 'rev', 1, 'epoch', 1, 'atom', '', 'from', '',
  'to', args.state == '' and 'PENDING' or args.state, 'intention', '', 'worker', args.who,
  'attempt', 0)
return {'CREATED', now}
