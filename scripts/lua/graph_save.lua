#!lua
--[[
  Bring a part of the structure; the one who starts the run repeats it to the end.

  KEYS
    flow          hash   the flow itself
    lock          hash   who is in a section
    lock_readers  zset   who reads in a section
    atoms         hash   name -> uuid
    graph         hash   the structure
  ARGV
    worker      str    the one who starts the run
    fence       str    the caller's fence, or empty outside any section
    sent        str    which sending this is: heed_sent tells
    records...  bytes*6  at most 1000, for each node: number, kind (f, e, t or r; with a ? if
                       deciders are asked before it is executed), priority, name of its atom
                       or empty, numbers of the nodes after it and of those before it,
                       separated by commas. Where these are more than 64, only how many,
                       after a *; then each 64 of them follow in a record: number:after:k
                       (k = 0, 1, ...) or number:before:k, kind +, 0, empty, the numbers, empty

  RETURNS
    {'OK'}         they are there
    {'STALE'}      another one starts the run
    {'UNKNOWN', name}  no atom has that name
    {'LOCKED'}     others hold the lock: wait for a turn, and call again
    {'FENCED'}     the caller's lease on the lock is over
    {'GONE'}       no such flow
    {'SCHEMA', n}  a newer version wrote it
]]
--- @include "now_ms"
--- @include "enter_flow"
--- @include "commit_flow"
--- @include "finished"
--- @include "link_fields"
--- @include "read_atom"
local flow, refusal = enter_flow()
if not flow then return refusal end
if read('HGET', keys.flow, 'starter') ~= args.worker then return {'STALE'} end
local fresh, extra = {}, tonumber(read('HGET', keys.flow, 'link_fields')) or 0
for i = 1, #args.records, 6 do
  local r = args.records
  if read('HEXISTS', keys.graph, r[i]) == 0 then
    local uuid, atom = '', nil
    if r[i + 3] ~= '' then
      uuid = read('HGET', keys.atoms, r[i + 3])
      atom = uuid and read_atom(uuid)
      if not atom then return {'UNKNOWN', r[i + 3]} end
    end
    local text = table.concat({r[i + 1], r[i + 2], uuid, r[i + 4], r[i + 5]}, '|')
    if r[i + 1] == '+' then text = r[i + 4] end
    extra = extra + link_fields(r[i + 4]) + link_fields(r[i + 5])
    fresh[#fresh + 1] = {number = r[i], text = text, atom = atom}
  end
end
flow.fields = {'link_fields', extra}
for _, node in ipairs(fresh) do
  redis.call('HSET', keys.graph, node.number, node.text)
  if node.atom then
    redis.call('HSET', node.atom.key, 'node', node.number)
    if not FINISHED[node.atom.state] then flow.unfinished = flow.unfinished + 1 end
  end
end
commit_flow(flow, now_ms())
return {'OK'}
