"""What do more workers bring, for tasks of no time and of some?

Workers are processes, started, loaded and ready before the clock runs. It stops when
the last of them has heard of the end. Tasks sleep, so that two cores serve eight
workers; ideal is what sleeping alone would take. How many tasks each worker gets is the
same for any number of workers, apart from tasks of no time: there the rate is compared
with that of one worker in the same round.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks import flows
from benchmarks.measuring import Bench, Budget, Row
from benchmarks.processes import Crew, crew


def measure(bench: Bench) -> Iterator[Row]:
    """Run each kind of task with each number of workers, in turns."""
    sizes = bench.sizes
    with crew(bench.server.url, max(sizes.workers)) as everybody:
        _took_s(everybody, 1, 10, 0)
        yield from _without_work(bench, everybody)
        for task_ms, each in sizes.tasks_each.items():
            yield from _with_work(bench, everybody, task_ms, each)


def _without_work(bench: Bench, everybody: Crew) -> Iterator[Row]:
    count, numbers = bench.sizes.no_ops, bench.sizes.workers
    took_s: dict[int, list[float]] = {workers: [] for workers in numbers}
    for _ in range(bench.sizes.crew_rounds):
        for workers in numbers:
            took_s[workers].append(_took_s(everybody, workers, count, 0))
    for workers in numbers[1:]:
        pairs = zip(took_s[numbers[0]], took_s[workers], strict=True)
        each_us = statistics.median(took_s[workers]) / count * 1e6
        yield Row(
            f"{workers} workers, {count} atoms of 0 ms / one worker",
            [alone / together for alone, together in pairs],
            unit="x",
            detail=[f"an atom every {each_us:.0f} µs"],
            raw={"one_s": took_s[numbers[0]], "took_s": took_s[workers]},
        )


def _with_work(bench: Bench, everybody: Crew, task_ms: int, each: int) -> Iterator[Row]:
    took_s: dict[int, list[float]] = {workers: [] for workers in bench.sizes.workers}
    for _ in range(bench.sizes.crew_rounds):
        for workers, took in took_s.items():
            took.append(_took_s(everybody, workers, workers * each, task_ms))
    ideal_s = each * task_ms / 1000
    for workers, took in took_s.items():
        promised = workers == 8 and task_ms == 50
        yield Row(
            f"{_workers(workers)}, {workers * each} atoms of {task_ms} ms / ideal",
            [ideal_s / seconds for seconds in took],
            unit="x",
            budget=Budget(0.9) if promised else None,
            raw={"took_s": took, "ideal_s": ideal_s},
        )


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _took_s(everybody: Crew, workers: int, count: int, task_ms: int) -> float:
    who = range(workers)
    everybody.load(who, flows.sleeping, count, task_ms / 1000)
    began = everybody.start(who)
    parts = everybody.ended(who)
    assert sum(part.completed for part in parts) == count
    return max(part.at for part in parts) - began
