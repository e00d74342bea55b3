#!lua
--[[
  Leave a flow to whichever workers serve what is submitted: values for it, and a mark that
  says who makes it and for which run. Nobody sees the one without the other.

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
    factory  str    the reference of the function that makes the flow
    args     bytes  what it is called with, encoded
    kwargs   bytes  likewise
    options  bytes  of the engines, encoded
    rerun    int    1: a run that is over is started once more
    request  str    names this request: sent again, it does nothing
    who      str    who submits it, for the journal
    act      str    what that is called there
    reason   str    why, for people
    atom     str    the injector's uuid: the caller derives it from the flow's
    name     str    the injector's name
    fence    str    the caller's fence, or empty outside any section
    sent     str    which sending this is: heed_sent tells
    pairs... bytes*2  name and encoded value in turn

  RETURNS
    {'OK', run}                  it is submitted for this run
    {'ENDED', run, state}        its run is over, like this, and stays so
    {'DIFFERS', factory, args, kwargs, options}
                                 it was submitted with these, and some are others
    {'CONFLICT', name}           this name has another value, which is in use
    {'EXPIRES', ended}           it is to go: flow_keep first, and call again
    {'LOCKED'}                   others hold the lock: wait for a turn, and call again
    {'FENCED'}                   the caller's lease on the lock is over
    {'GONE'}                     no such flow
    {'SCHEMA', n}                a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "check_log"
--- @include "commit"
--- @include "inject_values"
--- @include "note_act"
local flow, refusal = enter_flow()
if not flow then return refusal end
check_log()
local known = read('HMGET', keys.flow, 'submitted', 'submitted:request', 'submitted:factory',
  'submitted:args', 'submitted:kwargs', 'submitted:options')
local run, now = tonumber(known[1] or 0), now_ms()
if known[2] == args.request then return {'OK', run} end
local waits = run > flow.ended
local over = flow.ended == flow.run and not waits
if known[1] and not (over and args.rerun == 1) and (known[3] ~= args.factory
    or known[4] ~= args.args or known[5] ~= args.kwargs or known[6] ~= args.options) then
  return {'DIFFERS', known[3], known[4], known[5], known[6]}
end
if over and args.rerun ~= 1 and flow.state ~= 'SUSPENDED' then
  return {'ENDED', flow.run, read('HGET', keys.flow, 'outcome:' .. flow.run) or flow.state}
end
if flow.expires then return {'EXPIRES', flow.ended} end
local values = read_values(args.name, args.atom, args.pairs)
local used = waits or read('ZCOUNT', keys.workers, now, '(inf') > 0
if used and values.others[1] then return {'CONFLICT', values.others[1]} end
if not waits then run = over and flow.run + 1 or flow.run end
note_act(flow, args.act)
if args.pairs[1] then write_values(flow, values, args.request) end
local row = flow.fields
for name, value in pairs({submitted = run, ['submitted:request'] = args.request,
    ['submitted:factory'] = args.factory, ['submitted:args'] = args.args,
    ['submitted:kwargs'] = args.kwargs, ['submitted:options'] = args.options}) do
  row[#row + 1] = name
  row[#row + 1] = value
end
commit(flow, now)
return {'OK', run}
