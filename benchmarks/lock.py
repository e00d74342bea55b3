"""What does the lock cost, beside two bare calls and beside a bare hand-over?

A section that nobody contends for is two scripts: one that enters and one that leaves.
Where somebody waits, leaving wakes them through a list; so what it is compared with is
an element that one process pushes and another one, which is blocked on the list, gets.
Both processes are on this machine, so that their monotonic clocks are one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import redis

import redisflow
from benchmarks.bare import BareCas
from benchmarks.measuring import Bench, Budget, Cost, Row, between, costing, total

_NAME = "measured"
_LIST = "bare-hand-over"
_PATIENCE_S = 20
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
    with _waiter(bench.server.url) as waiter, bench.server.connect() as client:

        def pushed() -> float:
            return _hand_over(bench, waiter, "pop", lambda: client.rpush(_LIST, "1"))

        def released() -> float:
            lock.acquire_write_lock()
            return _hand_over(bench, waiter, "enter", lock.release_write_lock)

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


def _hand_over(
    bench: Bench, waiter: Connection, what: str, give: Callable[[], object]
) -> float:
    """Let the other process wait for something, give it, and return how long it took.

    The time begins before it is sent and ends when the other one has it.
    """
    waiter.send(what)
    until = time.monotonic() + _PATIENCE_S
    while not bench.server.admin.info("clients")["blocked_clients"]:
        assert time.monotonic() < until, f"the other process does not {what}"
    time.sleep(_ASLEEP_S)
    began = time.monotonic()
    give()
    assert waiter.poll(_PATIENCE_S), f"the other process does not {what}"
    had: float = waiter.recv()
    return had - began


@contextlib.contextmanager
def _waiter(url: str) -> Iterator[Connection]:
    """Start a process that waits for what it is told to."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_wait_for_all, args=(url, there), daemon=True)
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join(_PATIENCE_S)
        process.kill()


def _wait_for_all(url: str, pipe: Connection) -> None:
    """Wait for an element, or for the lock, until the pipe is closed."""
    lock = redisflow.ReaderWriterLock(redisflow.RedisBackend.from_url(url), _NAME)
    with (
        redis.Redis.from_url(url, socket_timeout=None) as client,
        contextlib.suppress(EOFError),
    ):
        while True:
            if pipe.recv() == "pop":
                client.blpop([_LIST], _PATIENCE_S)
                pipe.send(time.monotonic())
            else:
                lock.acquire_write_lock()
                had = time.monotonic()
                lock.release_write_lock()
                pipe.send(had)
