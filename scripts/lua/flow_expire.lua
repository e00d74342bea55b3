#!lua flags=allow-oom
--[[
  Let further records of an ended flow expire with it, as its end has set out.

  KEYS
    flow     hash  the flow itself
    changes  zset  atom uuid -> rev
  ARGV
    first  int  where in changes to go on

  RETURNS
    {'OK'}          all of them expire with it
    {'MORE', next}  there are more: call again from there
    {'KEPT'}        it does not expire any more
    {'GONE'}        no such flow
    {'SCHEMA', n}   a newer version wrote it
]]
--- @include "open_flow"
--- @include "expire_records"
local flow, refusal = open_flow()
if not flow then return refusal end
local known = read('HMGET', keys.flow, 'expires_at', 'keeping')
local at_ms = tonumber(known[1] or '')
if not at_ms or known[2] then return {'KEPT'} end
local after = expire_records(args.first, at_ms)
if after then return {'MORE', after} end
return {'OK'}
