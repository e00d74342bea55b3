-- server_name(told) -> string: the run_id of the server that runs this script. Where it hides
-- it, or the user may not ask, it is what the caller was told
local function server_name(told)
  local info = redis.pcall('INFO', 'server')
  local name = type(info) == 'string' and string.match(info, 'run_id:(%w+)')
  return name and string.find(name, '[^0]') and name or told
end
