#!lua
--[[
  Create a lock that belongs to no flow, unless it exists.

  KEYS
    lock          hash  how it is held
    lock_readers  zset  owner -> lease deadline
    lock_queue    zset  owner that waits -> ticket
    lock_owners   hash  what each owner does, and who it is

  RETURNS
    {'CREATED'}    it is new
    {'EXISTS'}     it was there; nothing was changed
    {'SCHEMA', n}  a newer version wrote it
    {'GONE'}       cannot happen here; open_lock answers it
]]
--- @include "new_lock"
--- @include "open_lock"
local lock, refusal = open_lock()
if lock then return {'EXISTS'} end
if refusal[1] ~= 'GONE' then return refusal end
for _, key in ipairs({keys.lock_readers, keys.lock_queue, keys.lock_owners}) do
  if read('EXISTS', key) == 1 then
    error({err = 'CORRUPT ' .. key .. ' it is there without its lock'})
  end
end
new_lock()
return {'CREATED'}
