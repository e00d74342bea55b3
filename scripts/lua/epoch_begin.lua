#!lua flags=allow-oom
--[[
  Begin another epoch of a flow, unless it knows the server that runs this: after a failover,
  or a start without the end of the append-only file, what was acknowledged may be gone.

  rev goes on from the server's clock. So no revision, and no token, of what was lost is ever
  given again, even if this change is lost as well.

  KEYS
    flow    hash    the flow itself
    events  stream  the journal
  ARGV
    told    str     names the server where it does not name itself
    who     str     who has noticed, for the journal

  RETURNS
    {'SAME', epoch}   the flow knows the server
    {'BEGUN', epoch}  it did not; this epoch has begun
    {'GONE'}          no such flow
    {'SCHEMA', n}     a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_flow"
--- @include "commit_flow"
--- @include "note_flow"
--- @include "server_name"
local flow, refusal = open_flow()
if not flow then return refusal end
read('XLEN', keys.events)
local server, epoch = server_name(args.told), tonumber(flow.epoch)
if read('HGET', keys.flow, 'server') == server then return {'SAME', epoch} end
local now = now_ms()
flow.rev, flow.epoch = math.max(flow.rev, now * 1000), int(epoch + 1)
flow.fields = {'epoch', flow.epoch, 'server', server}
note_flow(flow, args.who, {'server', server})
commit_flow(flow, now)
return {'BEGUN', epoch + 1}
