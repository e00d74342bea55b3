#!lua
--[[
  Take a part of an old structure away; the one who starts the run repeats it to the end.

  KEYS
    flow          hash  the flow itself
    lock          hash  who is in a section
    lock_readers  zset  who reads in a section
    graph         hash  the structure
    ready         zset  work that may be taken
    plan          hash  a change in progress
  ARGV
    worker  str   the one who starts the run
    fence   str   the caller's fence, or empty outside any section
    sent    str   which sending this is: heed_sent tells

  RETURNS
    {'OK', left}  nodes that are left
    {'PLAN'}      carry on the plan first: it goes by the old structure
    {'STALE'}     another one starts the run
    {'LOCKED'}    others hold the lock: wait for a turn, and call again
    {'FENCED'}    the caller's lease on the lock is over
    {'GONE'}      no such flow
    {'SCHEMA', n} a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "commit_flow"
--- @include "link_fields"
--- @include "read_node"
--- @include "record_key"
local CLEAR_LIMIT = 100
local flow, refusal = enter_flow()
if not flow then return refusal end
if read('HGET', keys.flow, 'starter') ~= args.worker then return {'STALE'} end
read('ZCARD', keys.ready)
if read('HEXISTS', keys.plan, 'walk') == 1 then return {'PLAN'} end
local known = read('HMGET', keys.flow, 'nodes', 'link_fields')
local first, extra = tonumber(known[1]) or 0, tonumber(known[2]) or 0
local atoms, gone = {}, {}
while first > 0 and #gone < CLEAR_LIMIT do
  first = first - 1
  if read('HEXISTS', keys.graph, first) == 1 then
    local node = read_node(first)
    if node.uuid ~= '' and read('HLEN', record_key('atom', node.uuid)) > 0 then
      atoms[#atoms + 1] = record_key('atom', node.uuid)
    end
    for _, way in ipairs({'after', 'before'}) do
      local fields = link_fields(node[way])
      for field = 0, fields - 1 do gone[#gone + 1] = first .. ':' .. way .. ':' .. field end
      extra = extra - fields
    end
    gone[#gone + 1] = first
  end
end
for _, key in ipairs(atoms) do redis.call('HSET', key, 'node', '') end
for _, field in ipairs(gone) do redis.call('HDEL', keys.graph, field) end
if first == 0 then
  flow.unfinished = 0
  redis.call('UNLINK', keys.ready)
  redis.call('ZADD', keys.ready, 'inf', '-')
end
flow.fields = {'nodes', first, 'link_fields', extra}
commit_flow(flow, now_ms())
return {'OK', first}
