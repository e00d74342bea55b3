#!lua flags=allow-oom
--[[
  Let nothing of a flow expire any more that was to go: it is changed, or run again. Its
  records come first, so that the flow is never there without them.

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
    ended  int  the run whose end has set out that it is to go
    after  int  the revision to go on from
    fence  str  the caller's fence, or empty outside any section
    sent   str  which sending this is: heed_sent tells

  RETURNS
    {'OK'}          it stays, or another run has ended since
    {'MORE', next}  there are more records: call again from there
    {'LOCKED'}      others hold the lock: wait for a turn, and call again
    {'FENCED'}      the caller's lease on the lock is over
    {'GONE'}        no such flow
    {'SCHEMA', n}   a newer version wrote it
]]
--- @include "enter_flow"
--- @include "check_collections"
--- @include "expire_records"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_collections()
if not flow.expires or flow.ended ~= args.ended then return {'OK'} end
-- What lets the last end's records expire may be on its way still: it is not to overtake this.
redis.call('HSET', keys.flow, 'keeping', 1)
-- It names the records: whoever dies amid this leaves nothing that cannot be found.
redis.call('PERSIST', keys.changes)
local after = expire_records(args.after)
if after then return {'MORE', after} end
for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
redis.call('HDEL', keys.flow, 'expires_at', 'keeping')
return {'OK'}
