"""What does the lock cost, beside two bare calls and beside a bare hand-over?

A section that nobody contends for is two scripts: one that enters and one that leaves.
Where somebody waits, leaving wakes them through a list; so what it is compared with is
an element that one process pushes and another one, which is blocked on the list, gets.
Both processes are on this machine, so that their monotonic clocks are one.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

import redisflow
from benchmarks import processes
from benchmarks.bare import BareCas
from benchmarks.measuring import Bench, Budget, Cost, Row, between, costing, total

_NAME = "measured"
_LIST = "bare-hand-over"
#: Within this time one who is blocked on the server has gone to sleep here as well.
_ASLEEP_S = 0.002


def measure(bench: Bench) -> Iterator[Row]:
    """Enter and leave alone, then hand over to another process."""
    backend = redisflow.RedisBackend.from_url(bench.server.url)
    with contextlib.closing(backend):
        lock = redisflow.ReaderWriterLock(backend, _NAME)
        yield _alone(bench, lock)
        yield _handed_over(bench, lock)


def _alone(bench: Bench, lock: redisflow.ReaderWriterLock) -> Row:
    admin, pairs = bench.server.admin, bench.sizes.burst
    bare_costs: list[Cost] = []
    our_costs: list[Cost] = []
    with contextlib.closing(bench.server.connect()) as client:
        bare = BareCas(client)
        bare.burst(2 * pairs)
        _sections(lock, 2)
        for _ in range(bench.sizes.rounds):
            with costing(admin) as cost:
                bare.burst(2 * pairs)
            bare_costs.append(cost)
            with costing(admin) as cost:
                _sections(lock, pairs)
            our_costs.append(cost)
        with costing(admin) as cost:
            bare.burst(2 * pairs)
        bare_costs.append(cost)
    bare_rates = between([pairs / cost.wall_s for cost in bare_costs])
    our_rates = [pairs / cost.wall_s for cost in our_costs]
    return Row(
        "lock: acquire and release / two bare EVALSHA",
        [ours / bare for ours, bare in zip(our_rates, bare_rates, strict=True)],
        unit="x",
        budget=Budget(0.75),
        detail=[
            f"two bare calls: {total(bare_costs).per(pairs * len(bare_costs))}",
            f"acquire and release: {total(our_costs).per(pairs * len(our_costs))}",
        ],
        raw={"bare_per_s": bare_rates, "pairs_per_s": our_rates},
    )


def _sections(lock: redisflow.ReaderWriterLock, count: int) -> None:
    for _ in range(count):
        lock.acquire_write_lock()
        lock.release_write_lock()


def _handed_over(bench: Bench, lock: redisflow.ReaderWriterLock) -> Row:
    each = max(3, bench.sizes.burst // 20)
    bare_s: list[float] = []
    our_s: list[float] = []
    admin, url = bench.server.admin, bench.server.url
    with (
        processes.process(processes.pop, url) as (_, popping),
        processes.process(_enter, url) as (_, entering),
        bench.server.connect() as client,
    ):

        def pushed() -> float:
            return processes.handed_over_s(
                admin,
                popping,
                _LIST,
                lambda: client.rpush(_LIST, "1"),
                asleep_s=_ASLEEP_S,
            )

        def released() -> float:
            lock.acquire_write_lock()
            return processes.handed_over_s(
                admin, entering, "enter", lock.release_write_lock, asleep_s=_ASLEEP_S
            )

        pushed()
        released()
        for _ in range(bench.sizes.rounds):
            pairs = [(pushed(), released()) for _ in range(each)]
            bare_s.append(statistics.median(bare for bare, _ in pairs))
            our_s.append(statistics.median(ours for _, ours in pairs))
    return Row(
        "lock: hand-over to another process / RPUSH to BLPOP",
        [ours / bare for ours, bare in zip(our_s, bare_s, strict=True)],
        unit="x",
        budget=Budget(1.5, at_least=False),
        detail=[
            f"an element: {statistics.median(bare_s) * 1e6:.0f} µs",
            f"the lock: {statistics.median(our_s) * 1e6:.0f} µs",
        ],
        raw={"bare_s": bare_s, "lock_s": our_s},
    )


def _enter(url: str, pipe: Connection) -> None:
    """Wait for the lock whenever told to, until the pipe is closed."""
    lock = redisflow.ReaderWriterLock(redisflow.RedisBackend.from_url(url), _NAME)
    with contextlib.suppress(EOFError):
        while True:
            pipe.recv()
            lock.acquire_write_lock()
            had = time.monotonic()
            lock.release_write_lock()
            pipe.send(had)
