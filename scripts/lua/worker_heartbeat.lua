#!lua flags=allow-oom
--[[
  Renew a worker's lease.

  KEYS
    flow      hash  the flow itself
    workers   zset  worker -> lease deadline
  ARGV
    run       int   the run that it takes part in
    worker    str   its id
    lease_ms  int   length of its lease

  RETURNS
    {'OK', wait_ms}  renewed; the next lease of another worker ends in wait_ms, -1: none
    {'LOST'}         the lease was over, and others have taken the worker's items
    {'ENDED'}        that run is over, and with it the leases of all its workers
    {'GONE'}         no such flow
    {'SCHEMA', n}    a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_flow"
local flow, refusal = open_flow()
if not flow then return refusal end
if args.run <= flow.ended then return {'ENDED'} end
if not read('ZSCORE', keys.workers, args.worker) then return {'LOST'} end
local now = now_ms()
redis.call('ZADD', keys.workers, now + args.lease_ms, args.worker)
local rows = redis.call('ZRANGEBYSCORE', keys.workers, '-inf', '(inf', 'WITHSCORES',
  'LIMIT', 0, 2)
for i = 1, #rows, 2 do
  if rows[i] ~= args.worker then return {'OK', math.max(0, rows[i + 1] - now)} end
end
return {'OK', -1}
