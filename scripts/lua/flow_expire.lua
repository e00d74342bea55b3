#!lua flags=allow-oom
--[[
  Let further records of an ended flow expire with it, as its end has set out.

  KEYS
    flow     hash  the flow itself
    changes  zset  atom uuid -> rev
  ARGV
    run    int  the run that has ended
    after  int  the revision to go on from

  RETURNS
    {'OK'}          all of them expire with it
    {'MORE', next}  there are more: call again from there
    {'KEPT'}        it does not expire any more, or as another run has set out
    {'GONE'}        no such flow
    {'SCHEMA', n}   a newer version wrote it
]]
--- @include "open_flow"
--- @include "expire_records"
local flow, refusal = open_flow()
if not flow then return refusal end
local keeping = read('HEXISTS', keys.flow, 'keeping') == 1
if not flow.expires or keeping or flow.ended ~= args.run then return {'KEPT'} end
local after = expire_records(args.after, flow.expires)
if after then return {'MORE', after} end
redis.call('PEXPIREAT', keys.changes, int(flow.expires))
return {'OK'}
