"""What do idle workers ask of the server while nothing happens?

Some take part in a flow in which one task goes on and on; others serve submitted flows
when none is there. They are threads here, each with connections of its own: to the
server that is the same as processes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from taskflow import flow, task
from taskflow.patterns import linear_flow

import redisflow
from benchmarks.measuring import Bench, Row, costing
from benchmarks.round_trips import received
from redisflow.engine.allowing import Allowed
from redisflow.engine.serving import Serving

#: Until all of them wait, and have sent their first heartbeat: that one connects.
_SETTLE_S = 6.0


class Waits(task.Task):
    """Goes on until it may end.

    Args:
        may_end: an event of this process.
    """

    def __init__(self, may_end: threading.Event) -> None:
        super().__init__("waits")  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self._may_end = may_end

    def execute(self) -> None:
        """Wait."""
        self._may_end.wait()


def measure(bench: Bench) -> Iterator[Row]:
    """Count commands, first of workers in a flow, then of those that serve."""
    count = bench.sizes.idle
    with _in_a_flow(bench, count):
        yield from _counted(bench, f"{count} idle workers in a flow")
    with _serving(bench, count):
        yield from _counted(bench, f"{count} idle workers that serve")


def _counted(bench: Bench, what: str) -> Iterator[Row]:
    for_s = bench.sizes.idle_s
    time.sleep(min(1.2 * for_s, _SETTLE_S))
    with (
        received(bench, heartbeats=True) as commands,
        costing(bench.server.admin) as cost,
    ):
        time.sleep(for_s)
    del commands["INFO"]  # what measuring takes
    yield Row(
        f"{what}: commands a second, all together",
        [commands.total() / for_s],
        detail=[
            f"{name}: {number / for_s:.1f} a second"
            for name, number in commands.most_common()
        ],
        raw={"commands": dict(commands), "for_s": for_s},
    )
    yield Row(
        f"{what}: server's CPU time, of a second",
        [cost.server_s / cost.wall_s * 1000],
        unit="ms",
    )


@contextlib.contextmanager
def _in_a_flow(bench: Bench, count: int) -> Iterator[None]:
    """Have engines take part in a flow of which all but one have nothing to do."""
    may_end = threading.Event()

    def make() -> flow.Flow:
        made = linear_flow.Flow("idle")
        made.add(Waits(may_end))
        return made

    run_id = f"idle-{time.monotonic_ns()}"
    url = bench.server.url
    engines = [redisflow.load(make(), run_id=run_id, url=url) for _ in range(count)]
    threads = [threading.Thread(target=engine.run, daemon=True) for engine in engines]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        may_end.set()
        for thread in threads:
            thread.join()
        for engine in engines:
            engine.storage.backend.close()


@contextlib.contextmanager
def _serving(bench: Bench, count: int) -> Iterator[None]:
    """Have workers serve submitted flows, of which there are none."""
    backends = [redisflow.RedisBackend.from_url(bench.server.url) for _ in range(count)]
    allowed = Allowed(["benchmarks.flows"])
    serving = [
        Serving(backend, allowed, tell=lambda *_told: None) for backend in backends
    ]
    threads = [threading.Thread(target=each.serve, daemon=True) for each in serving]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for each in serving:
            each.drain()
        for thread in threads:
            thread.join()
        for backend in backends:
            backend.close()
