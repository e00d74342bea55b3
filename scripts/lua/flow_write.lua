#!lua
--[[
  Write what has changed in the details of a flow: its state, and entries of its metadata.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    workers       zset    worker -> lease deadline
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    state      str    its state, or empty to leave it
    who        str    the request, and who asks, for the journal
    fence      str    the caller's fence, or empty outside any section
    sent       str    which sending this is: heed_sent tells
    fields...  bytes  two lists, each with its length before it: fields with their values, and
                      fields to remove

  RETURNS
    {'OK', atoms, flow}  how many atoms it has, and its hash as it is now, flat
    {'RUNNING', live}    that many workers run it, in another state
    {'EXPIRES', ended}   the flow is to go: flow_keep first, and call again
    {'LOCKED'}           others hold the lock: wait for a turn, and call again
    {'FENCED'}           the caller's lease on the lock is over
    {'GONE'}             no such flow
    {'SCHEMA', n}        a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "change_flow"
--- @include "check_log"
--- @include "commit_flow"
--- @include "counted"
--- @include "moved_before"
--- @include "write_fields"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
local sets, after = counted(args.fields, 1)
local drops = counted(args.fields, after)
local moved = args.state ~= '' and args.state ~= read('HGET', keys.flow, 'state')
  and not moved_before(flow, '', args.who, 0)
local now = now_ms()
local live = read('ZCOUNT', keys.workers, now, '(inf')
if moved and live > 0 then return {'RUNNING', live} end
local atoms = read('ZCARD', keys.changes) - 1
if moved then
  change_flow(flow, args.state, args.who)
elseif sets[1] or drops[1] then
  flow.rev = flow.rev + 1
end
if moved or sets[1] or drops[1] then
  write_fields(keys.flow, sets, drops)
  commit_flow(flow, now)
end
return {'OK', atoms, redis.call('HGETALL', keys.flow)}
