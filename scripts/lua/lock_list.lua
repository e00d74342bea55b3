#!lua flags=no-writes
--[[
  Tell who holds a lock and who waits for it.

  KEYS
    lock          hash  how it is held
    lock_readers  zset  owner -> lease deadline
    lock_queue    zset  owner that waits -> ticket
    lock_owners   hash  what each owner does, and who it is

  RETURNS
    {'OK', now, fence, holders, waiters}  the server's time; the fence of the last writer;
                    holders: {owner, writes or reads, since, deadline, who}; waiters, in
                    the order of their tickets, the first 1000: {owner, awaits-write or
                    awaits-read, since, deadline, who}; all times in ms
    {'GONE'}        no such lock
    {'SCHEMA', n}   a newer version wrote it
]]
--- @include "now_ms"
--- @include "open_lock"
--- @include "lock_owner"
local lock, refusal = open_lock(true)
if not lock then return refusal end
local function row(owner, deadline)
  local entry = lock_owner(lock, owner)
  if not entry then
    error({err = 'CORRUPT ' .. keys.lock_owners .. ' ' .. owner .. ' is not in it'})
  end
  return {owner, entry.does, entry.since, tonumber(deadline or entry.deadline), entry.who}
end
local holders, waiters = {}, {}
if lock.held == 'write' then holders[1] = row(lock.writer, lock.deadline) end
local readers = read('ZRANGEBYSCORE', keys.lock_readers, '-inf', '(inf', 'WITHSCORES')
for i = 1, #readers, 2 do holders[#holders + 1] = row(readers[i], readers[i + 1]) end
local queue = read('ZRANGEBYSCORE', keys.lock_queue, '-inf', '(inf', 'LIMIT', 0, 1000)
for i, owner in ipairs(queue) do waiters[i] = row(owner) end
return {'OK', now_ms(), lock.fence, holders, waiters}
