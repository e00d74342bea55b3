"""How soon does the atom of a worker that was killed run elsewhere?

One process is killed with `SIGKILL` in the middle of a task, while another one is idle
in the same flow. The time counts from the kill to the beginning of the task there.
Leases are renewed every third of them, so it is between two thirds of a lease and a
whole one at best.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import redis
from taskflow import flow, task
from taskflow.patterns import linear_flow

import redisflow
from benchmarks.measuring import Bench, Budget, Row
from benchmarks.processes import PATIENCE_S, Crew, crew

_LIST = "executions"


class Stuck(task.Task):
    """Tells of each execution, and does not come back from the first.

    Args:
        url: where it tells it.
    """

    def __init__(self, url: str) -> None:
        super().__init__("stuck")  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self._url = url

    def execute(self) -> None:
        """Tell when it began."""
        began = time.monotonic()
        work = redisflow.current()
        with redis.Redis.from_url(self._url) as client:
            client.rpush(_LIST, began)
        if work is not None and work.attempt == 0:
            time.sleep(PATIENCE_S)


def one_stuck(url: str) -> flow.Flow:
    """Make a flow of one task that does not come back."""
    made = linear_flow.Flow("stuck")
    made.add(Stuck(url))
    return made


def measure(bench: Bench) -> Iterator[Row]:
    """Kill one worker after the other."""
    kills = bench.sizes.kills
    for lease_s in bench.sizes.leases_s:
        with crew(bench.server.url, kills + 1) as members:
            took_s = [_took_s(bench, members, kill, lease_s) for kill in range(kills)]
        yield Row(
            f"a dead worker's atom starts elsewhere, lease {lease_s:g} s",
            took_s,
            unit="s",
            budget=Budget(lease_s + 1, at_least=False),
        )


def _took_s(bench: Bench, members: Crew, dying: int, lease_s: float) -> float:
    """Kill a member, and have the next one take over."""
    url, other = bench.server.url, dying + 1
    members.load([dying, other], one_stuck, url, lease_s=lease_s)
    members.start([dying])
    _next_execution(bench)
    members.start([other])
    time.sleep(lease_s / 2)  # it has joined, and waits
    killed = members.kill(dying)
    began = _next_execution(bench)
    members.ended([other])
    return began - killed


def _next_execution(bench: Bench) -> float:
    with redis.Redis.from_url(bench.server.url, socket_timeout=None) as client:
        found = client.blpop([_LIST], PATIENCE_S)
    assert found, "no execution was told"
    return float(found[1])
