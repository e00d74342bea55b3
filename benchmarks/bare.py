"""The yardsticks: scripts that decide nothing, through redis-py.

`BareCas` is the smallest compare-and-set that there can be. `BareAtom` sends what
``work_complete`` sends for an atom of a line: as many keys and arguments, the same
commands on keys of the same form, the same reply; where somebody waits for what it
opens, it leaves a hint. What an atom costs more than that is for deciding, and for
everything around the call.
"""

from __future__ import annotations

import time

import redis

SCRIPT = """
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= ARGV[1] then return {'OTHER', state} end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
return {'MOVED', state}
"""


class BareCas:
    """Moves one field of one hash back and forth with EVALSHA.

    Args:
        client: redis-py's, with its defaults.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._sha = client.script_load(SCRIPT)
        self._states = ("PENDING", "IGNORE")
        client.hset("bare", "state", self._states[0])

    def burst(self, calls: int) -> float:
        """Make an even number of calls; returns how many it made per second."""
        one, other = self._states
        started = time.perf_counter()
        for _ in range(calls // 2):
            self._client.evalsha(self._sha, 1, "bare", one, other)
            self._client.evalsha(self._sha, 1, "bare", other, one)
        return calls / (time.perf_counter() - started)


ATOM_SCRIPT = """
redis.call('HMGET', KEYS[1], 'state', 'run', 'rev', 'schema', 'ended', 'epoch',
  'unfinished', 'halt', 'resolving', 'reverting', 'never_resolve', 'planned',
  'declined')
redis.call('EXISTS', KEYS[1], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[9],
  KEYS[10], KEYS[11])
redis.call('HGET', KEYS[2], 'held')
redis.call('ZCARD', KEYS[10])
redis.call('XLEN', KEYS[11])
redis.call('HMGET', KEYS[12], 'state', 'intention', 'node', 'owner', 'round', 'attempt',
  'token', 'failed', 'type')
redis.call('HGET', KEYS[7], ARGV[4])
local now = redis.call('TIME')[1]
redis.call('HGET', KEYS[5], '76')
redis.call('HGET', KEYS[4], '76')
redis.call('HGET', KEYS[4], '77')
redis.call('HMGET', KEYS[12], 'state', 'intention', 'node', 'owner', 'round', 'attempt',
  'token', 'failed', 'type')
redis.call('ZCARD', KEYS[6])
redis.call('HSET', KEYS[13], 'results', ARGV[6])
redis.call('HSET', KEYS[12], 'owner', '', 'finished_at', now, 'meta:progress', '1.0',
  'state', ARGV[5], 'rev', ARGV[3])
redis.call('XADD', KEYS[11], '*', 'rev', ARGV[3], 'epoch', '1', 'atom', ARGV[1], 'from',
  'RUNNING', 'to', 'SUCCESS', 'intention', 'EXECUTE', 'worker', ARGV[2], 'attempt', '0')
redis.call('HDEL', KEYS[7], ARGV[4])
redis.call('HDEL', KEYS[5], '77')
redis.call('HSET', KEYS[12], 'owner', ARGV[2], 'token', ARGV[3], 'started_at', now,
  'state', 'RUNNING', 'rev', ARGV[3])
redis.call('XADD', KEYS[11], '*', 'rev', ARGV[3], 'epoch', '1', 'atom', ARGV[1], 'from',
  'PENDING', 'to', 'RUNNING', 'intention', 'EXECUTE', 'worker', ARGV[2], 'attempt', '0')
redis.call('HSET', KEYS[7], ARGV[4], ARGV[2])
redis.call('ZADD', KEYS[10], ARGV[3], ARGV[1], ARGV[3], 'next')
redis.call('HSET', KEYS[1], 'rev', ARGV[3], 'updated_at', now, 'unfinished', '224')
if KEYS[14] then
  redis.call('RPUSH', KEYS[14], 'look')
  redis.call('PEXPIRE', KEYS[14], '60000')
end
local item = {ARGV[4], ARGV[3], ARGV[1], 1, 0, 'PENDING'}
return {'OK', 1, 3, 'RUNNING', 'WAIT', {item}}
"""

_NAMES = (
    *("flow", "lock", "lock_readers", "graph", "missing", "ready", "claims", "idle"),
    *("plan", "changes", "events"),
)
_UUID = "3ec65ca2-a281-5cb2-a87a-0a60c6c3acb6"


class BareAtom:
    """Does with EVALSHA what an atom of a line does, without deciding anything.

    Args:
        client: redis-py's, with its defaults.
        hints: the list of somebody who waits.
    """

    def __init__(self, client: redis.Redis, *, hints: str | None = None) -> None:
        self._client = client
        self._sha = client.script_load(ATOM_SCRIPT)
        self._hints = [] if hints is None else [hints]
        tag = f"bare:{{{_UUID}}}"
        self._keys = [f"{tag}:{name}" for name in _NAMES]
        self._atom, self._result = f"{tag}:atom:", f"{tag}:result:"
        graph = {str(number): f"t|0|{_UUID}|1|0" for number in range(1000)}
        client.hset(f"{tag}:graph", mapping=graph)
        self._calls = 0

    def burst(self, calls: int) -> float:
        """Make calls, each about another atom; returns how many it made per second."""
        started = time.perf_counter()
        for number in range(self._calls, self._calls + calls):
            uuid = f"{number:036d}"
            self._client.evalsha(
                self._sha,
                13 + len(self._hints),
                *self._keys,
                self._atom + uuid,
                self._result + uuid,
                *self._hints,
                uuid,
                "host:2482:1244b7d2",
                str(number),
                "00000077:execute",
                "SUCCESS",
                b"null",
                1,
                "",
            )
        self._calls += calls
        return calls / (time.perf_counter() - started)
