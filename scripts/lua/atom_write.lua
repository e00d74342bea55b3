#!lua
--[[
  Write what has changed in the details of atoms: of all of them, or of none.

  KEYS
    flow          hash    the flow itself
    lock          hash    who is in a section
    lock_readers  zset    who reads in a section
    atoms         hash    name -> uuid
    missing       hash    what each node waits for
    workers       zset    worker -> lease deadline
    idle          zset    workers that wait
    plan          hash    a change in progress
    changes       zset    atom uuid -> rev
    events        stream  the journal
  ARGV
    who         str    who asks, for the journal
    create      int    1: an atom that is not there is created
    fence       str    the caller's fence, or empty outside any section
    sent        str    which sending this is: heed_sent tells
    details...  bytes  for each atom, at most 1000: uuid, name, type (task or retry), state and
                       intention (empty to leave them), then four lists, each with its length
                       before it: fields of its record with their values; such fields to
                       remove; fields of its results with their values; such fields to remove

  RETURNS
    {'OK', revs}                 written; revs has the revision of each atom before and
                                 after, 0 before for a new one
    {'HELD', uuid, owner, live}  a worker holds this atom; live = 0 if its lease is over
    {'KIND', uuid, type}         this atom is of another type
    {'UNKNOWN', uuid}            no such atom
    {'EXPIRES', ended}           the flow is to go: flow_keep first, and call again
    {'LOCKED'}                   others hold the lock: wait for a turn, and call again
    {'FENCED'}                   the caller's lease on the lock is over
    {'GONE'}                     no such flow
    {'SCHEMA', n}                a newer version wrote it
]]
--- @include "now_ms"
--- @include "edit_flow"
--- @include "check_log"
--- @include "check_derived"
--- @include "commit"
--- @include "follow_edit"
--- @include "read_edits"
--- @include "write_edit"
local flow, refusal = edit_flow()
if not flow then return refusal end
check_log()
check_derived()
read('ZCARD', keys.workers)
local edits, obstacle = read_edits(flow, args.details)
if not edits then return obstacle end
local revs, moved = {}, nil
for _, edit in ipairs(edits) do
  revs[#revs + 1] = edit.rev
  if edit.moved and (edit.atom.node ~= '' or not moved) then moved = edit.atom end
  revs[#revs + 1] = write_edit(flow, edit)
end
if moved then follow_edit(flow, moved) end
if flow.changes[1] then commit(flow, now_ms()) end
return {'OK', revs}
