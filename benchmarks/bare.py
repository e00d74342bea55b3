"""The yardstick: the smallest compare-and-set script there can be, through redis-py."""

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
