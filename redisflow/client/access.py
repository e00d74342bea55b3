"""What an ACL user has to be allowed, and a look at whether it is.

A server checks each command and key of a script as it comes to them, and takes nothing
back: a user who lacks one command would leave half of a change behind. So a client that
logs in as a user asks first. Who may write anything must be allowed all of `COMMANDS`;
who may write nothing reads what it may, and the server refuses the rest.

The one rule that allows all of it is in ``docs/security.md``.
"""

from __future__ import annotations

from typing import Any, cast

from redis.exceptions import NoPermissionError

from redisflow.client.faults import reply_text
from redisflow.config import Config
from redisflow.errors import Refused

#: Commands that change keys; those of scripts and those of Python.
WRITES = (
    *("BLPOP", "DEL", "HDEL", "HINCRBY", "HSET", "HSETNX", "PERSIST", "PEXPIRE"),
    *("PEXPIREAT", "RPUSH", "SET", "SETBIT", "SETNX", "UNLINK", "XADD", "ZADD"),
    *("ZPOPMIN", "ZREM", "ZREMRANGEBYSCORE"),
)
#: Commands that read keys.
READS = (
    *("BITPOS", "EXISTS", "GET", "GETBIT", "HEXISTS", "HGET", "HGETALL", "HKEYS"),
    "HLEN",
    *("HMGET", "HSCAN", "PTTL", "STRLEN", "TYPE", "XLEN", "XRANGE", "XREAD"),
    *("XREVRANGE", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE", "ZREVRANGE"),
    *("ZREVRANGEBYSCORE", "ZSCORE"),
)
#: Commands about no key.
OTHERS = ("EVAL", "EVALSHA", "SCAN", "TIME", "WAIT")
COMMANDS = WRITES + READS + OTHERS

#: Commands that can be missed: the server's version and eviction policy, a database
#: other than 0, and what redis-py asks a cluster.
OPTIONAL = ("INFO", "SELECT", "CLUSTER|SLOTS", "COMMAND")

#: Answers which of the commands in ARGV, after a key, the user may not run on that key.
_ASK = """#!lua flags=no-writes
local key = ARGV[1]
local words = {
  DEL = {key}, UNLINK = {key}, EXISTS = {key}, BLPOP = {key, 1}, WAIT = {0, 0},
  XREAD = {'STREAMS', key, 0}, EVAL = {'', 1, key}, EVALSHA = {'', 1, key},
  SCAN = {0}, TIME = {},
}
local denied = {}
for i = 2, #ARGV do
  local name = ARGV[i]
  local allowed = redis.acl_check_cmd(name, unpack(words[name] or {key, '1', '1', '1'}))
  if not allowed then denied[#denied + 1] = name end
end
return denied
"""


def check_access(handle: Any, config: Config) -> None:
    """Refuse a user who could do one half of a change and not the other.

    Raises:
        Refused: names the rules that the user lacks.
    """
    key = f"{config.namespace}:{{access}}"
    try:
        denied = handle.execute_command("EVAL", _ASK, 0, key, *COMMANDS)
    except NoPermissionError as error:
        lacking = "+eval +evalsha"
        raise Refused(f"{_who(config)} {lacking}: {reply_text(error)}") from error
    missing = {name.decode() for name in cast(list[bytes], denied)}
    if missing >= {*WRITES, *READS}:
        raise Refused(f"{_who(config)} ~{config.namespace}:* and the commands for it")
    if missing and not missing >= set(WRITES):
        rules = " ".join(f"+{name.lower()}" for name in COMMANDS if name in missing)
        raise Refused(f"{_who(config)} {rules}")


def _who(config: Config) -> str:
    return f"{config.address} refused: the ACL user {config.username!r} lacks"
