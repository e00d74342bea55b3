-- recount_claims(): count anew how many items each worker holds
local function recount_claims()
  local rows, counted = redis.call('HGETALL', keys.claims), {}
  for i = 1, #rows, 2 do
    local worker = string.match(rows[i + 1], '^(%S+) ')
    if string.sub(rows[i], 1, 1) == '#' then
      redis.call('HDEL', keys.claims, rows[i])
    elseif worker then
      counted[worker] = (counted[worker] or 0) + 1
    end
  end
  for worker, count in pairs(counted) do redis.call('HSET', keys.claims, '#' .. worker, count) end
end
