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
    sent     str     which sending this is: heed_sent tells
    pairs... bytes*2   name and encoded value in turn

  RETURNS
    {'OK', before, rev}  they are there; before and rev are the flow's revisions
    {'CONFLICT', name}   workers run the flow with another value for this name
    {'EXPIRES', ended}   the flow is to go: flow_keep first, and call again
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "check_log"
--- @include "commit"
--- @include "inject_values"
--- @include "read_others"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local values, before, now = read_values(args.name, args.atom, args.pairs), flow.rev, now_ms()
if args.whole == 1 then read_others(values, args.pairs) end
local live = read('ZCOUNT', keys.workers, now, '(inf')
if args.joining == 1 and live > 0 and values.others[1] then
  return {'CONFLICT', values.others[1]}
end
if values.atom and not (values.changed[1] or values.gone[1]) then
  return {'OK', before, flow.rev}
end
write_values(flow, values, args.who)
commit(flow, now)
return {'OK', before, flow.rev}
