--- @include "record_key"
-- wake(workers, most, but): tell workers that there is something for them, so many of these and
-- not that one; then they do not count as waiting. The one that is blocked on its list has the
-- hint as soon as the script is over. A hint may fail, or a list be of another type: who waits
-- looks by itself as well
local function wake(workers, most, but)
  for _, worker in ipairs(workers) do
    if most <= 0 then return end
    if worker ~= but then
      most = most - 1
      redis.call('ZREM', keys.idle, worker)
      local hints = record_key('wake', worker)
      redis.pcall('RPUSH', hints, 'look')
      redis.pcall('PEXPIRE', hints, '60000')
    end
  end
end
