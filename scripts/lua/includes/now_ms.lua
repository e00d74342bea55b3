-- now_ms() -> int: the server's clock, the same however often a script asks
local read_at
local function now_ms()
  if not read_at then
    local time = redis.call('TIME')
    read_at = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return read_at
end
