-- drop_claim(worker, item, mine): a worker gives an item back; mine is how many it holds
local function drop_claim(worker, item, mine)
  redis.call('HDEL', keys.claims, item)
  if mine <= 1 then
    redis.call('HDEL', keys.claims, '#' .. worker)
  else
    redis.call('HSET', keys.claims, '#' .. worker, mine - 1)
  end
end
