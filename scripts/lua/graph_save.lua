#!lua
--[[
  Bring a part of the structure, and count what its nodes wait for where nothing was done
  yet; the one who starts the run repeats it to the end.

  KEYS
    flow          hash   the flow itself
    lock          hash   who is in a section
    lock_readers  zset   who reads in a section
    atoms         hash   name -> uuid
    graph         hash   the structure
    missing       hash   what each node waits for
    plan          hash   a change in progress
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
--- @include "int"
--- @include "link_fields"
--- @include "read_atom"
local function links_in(text)
  local _, many = link_fields(text)
  local _, few = string.gsub(text, '%d+', '')
  return many > 0 and many or few
end

local flow, refusal = enter_flow()
if not flow then return refusal end
if read('HGET', keys.flow, 'starter') ~= args.worker then return {'STALE'} end
read('HLEN', keys.missing)
local begins = read('HLEN', keys.graph) == 1
local known = read('HGET', keys.plan, 'fresh')
-- As long as all atoms are PENDING, and nothing is changed meanwhile, what each node waits for
-- is known here: flow_launch need not count it. All has to come after the first gate.
local fresh = begins or known == int(flow.rev)
local nodes, extra = {}, tonumber(read('HGET', keys.flow, 'link_fields')) or 0
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
    local before, first = links_in(r[i + 5]), r[i] .. r[i + 1] == '0f'
    if r[i + 1] == '+' then
      text, before = r[i + 4], 0  -- links of a node, and no node
    elseif before == 0 and not first then
      fresh = false
    end
    extra = extra + link_fields(r[i + 4]) + link_fields(r[i + 5])
    if atom then fresh = fresh and atom.state == 'PENDING' and atom.intention == 'EXECUTE' end
    nodes[#nodes + 1] = {number = r[i], text = text, atom = atom, before = before}
  end
end
flow.fields = {'link_fields', extra}
if begins then
  redis.call('UNLINK', keys.missing)
  redis.call('HSET', keys.missing, '-', '')
end
if fresh then
  redis.call('HSET', keys.plan, 'fresh', int(flow.rev))
else
  redis.call('HDEL', keys.plan, 'fresh')
end
local counters = {}
for _, node in ipairs(nodes) do
  if node.before > 0 then
    counters[#counters + 1] = node.number
    counters[#counters + 1] = node.before
  end
  redis.call('HSET', keys.graph, node.number, node.text)
  if node.atom then
    redis.call('HSET', node.atom.key, 'node', node.number)
    if not FINISHED[node.atom.state] then flow.unfinished = flow.unfinished + 1 end
  end
end
if counters[1] then redis.call('HSET', keys.missing, unpack(counters)) end
commit_flow(flow, now_ms())
return {'OK'}
