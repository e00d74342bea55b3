-- check_acl(key): a script that is refused a command in its middle leaves what it has written:
-- so all that scripts of a flow write with is asked for before the first write
local function check_acl(key)
  local may = redis.acl_check_cmd
  local refused = not may('TIME') and 'TIME'
    or not may('HSET', key, 'f', 'v') and 'HSET'
    or not may('HSETNX', key, 'f', 'v') and 'HSETNX'
    or not may('HDEL', key, 'f') and 'HDEL'
    or not may('HINCRBY', key, 'f', '1') and 'HINCRBY'
    or not may('ZADD', key, '1', 'm') and 'ZADD'
    or not may('ZREM', key, 'm') and 'ZREM'
    or not may('ZREMRANGEBYSCORE', key, '1', '2') and 'ZREMRANGEBYSCORE'
    or not may('ZPOPMIN', key) and 'ZPOPMIN'
    or not may('XADD', key, '*', 'f', 'v') and 'XADD'
    or not may('SET', key, 'v') and 'SET'
    or not may('SETBIT', key, '0', '1') and 'SETBIT'
    or not may('UNLINK', key) and 'UNLINK'
  if refused then
    error({err = 'NOPERM this user may not run ' .. refused .. ' on ' .. key})
  end
end
