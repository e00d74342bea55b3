-- check_acl(key): a script that is refused a command in its middle leaves what it has written:
-- so all that scripts of a flow write with is asked for before the first write
local WRITES = {
  {'HSET', 'f', 'v'}, {'HSETNX', 'f', 'v'}, {'HDEL', 'f'}, {'HINCRBY', 'f', '1'},
  {'ZADD', '1', 'm'}, {'ZREM', 'm'}, {'ZREMRANGEBYSCORE', '1', '2'}, {'ZPOPMIN'},
  {'XADD', '*', 'f', 'v'}, {'SET', 'v'}, {'SETBIT', '0', '1'}, {'UNLINK'},
}
local function check_acl(key)
  local refused = not redis.acl_check_cmd('TIME') and 'TIME'
  for _, words in ipairs(WRITES) do
    if not redis.acl_check_cmd(words[1], key, unpack(words, 2)) then refused = words[1] end
  end
  if refused then
    error({err = 'NOPERM this user may not run ' .. refused .. ' on ' .. key})
  end
end
