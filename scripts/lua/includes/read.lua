-- read(command, key, ...) -> reply: a key of another type ends the script and is named
local function read(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    error({err = 'CORRUPT ' .. key .. ' ' .. reply.err})
  end
  return reply
end
