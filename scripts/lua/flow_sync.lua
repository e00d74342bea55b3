#!lua flags=no-writes
--[[
  Tell what has changed in a flow since a revision, without results.

  KEYS
    flow     hash  the flow itself
    changes  zset  atom uuid -> rev of its last change
    workers  zset  worker -> lease deadline
  ARGV
    since    int   the revision that the caller has
    limit    int   atoms at most, up to 1000

  RETURNS
    {'OK', rev, more, flow, atoms, live}  rev that the caller now has; more = 1 if it has
                                          to ask again; the flow's hash, flat; for each
                                          changed atom its uuid and its hash, in turn;
                                          how many workers live
    {'GONE'}                              no such flow
    {'SCHEMA', n}                         a newer version wrote it
]]
--- @include "int"
--- @include "now_ms"
--- @include "open_flow"
--- @include "record_key"
local flow, refusal = open_flow()
if not flow then return refusal end
local now = now_ms()
local rows = read('ZRANGEBYSCORE', keys.changes, '(' .. int(args.since), '+inf', 'WITHSCORES',
  'LIMIT', 0, math.min(args.limit, 1000))
local atoms, rev, more = {}, flow.rev, 0
for i = 1, #rows, 2 do
  if rows[i] ~= '-' then
    atoms[#atoms + 1] = rows[i]
    atoms[#atoms + 1] = read('HGETALL', record_key('atom', rows[i]))
  end
end
if #rows == 2 * math.min(args.limit, 1000) then
  rev, more = tonumber(rows[#rows]), 1
end
local live = read('ZCOUNT', keys.workers, now, '(inf')
return {'OK', rev, more, read('HGETALL', keys.flow), atoms, live}
