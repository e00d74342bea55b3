"""Does an atom cost more in a large flow than in a small one?

Everything from loading to the end counts, by one worker: load, compile, prepare (each
atom gets its details), validate, run. Making the flow object is TaskFlow's own time and
stands aside. Small flows take turns with each large one, before it and after it, so
that both have the same machine.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from taskflow import flow
from taskflow.engines import helpers

import redisflow
from benchmarks import flows
from benchmarks.measuring import Bench, Budget, Row

SHAPES: Mapping[str, Callable[[int], flow.Flow]] = {
    "in line": flows.line,
    "independent": flows.independent,
    "in a fan-out and fan-in": flows.fan,
    "in a layered graph": flows.layered,
}

#: What one run took, in seconds, by phase; in their order.
Phases = Mapping[str, float]

_ASIDE = "build"


def measure(bench: Bench) -> Iterator[Row]:
    """Run each shape in every size."""
    smallest, *sizes = bench.sizes.growth
    for shape, make in SHAPES.items():
        _phases(bench, make, smallest)
        runs: dict[int, list[Phases]] = {smallest: [], **{size: [] for size in sizes}}
        ratios: dict[int, list[float]] = {size: [] for size in sizes}
        for _ in range(bench.sizes.growth_rounds):
            for size in sizes:
                small = [
                    _phases(bench, make, smallest)
                    for _ in range(bench.sizes.growth_small)
                ]
                large = _phases(bench, make, size)
                small += [
                    _phases(bench, make, smallest)
                    for _ in range(bench.sizes.growth_small)
                ]
                runs[smallest] += small
                runs[size].append(large)
                each_s = statistics.median(
                    _each_s(phases, smallest) for phases in small
                )
                ratios[size].append(_each_s(large, size) / each_s)
        for size in sizes:
            yield _row(shape, smallest, size, ratios[size], runs)


def _row(
    shape: str,
    smallest: int,
    size: int,
    ratios: Sequence[float],
    runs: Mapping[int, Sequence[Phases]],
) -> Row:
    both = (smallest, size)
    return Row(
        f"{size} atoms {shape} / {smallest}, each",
        ratios,
        unit="x",
        budget=Budget(1.3, at_least=False),
        detail=[f"an atom of {count}: {_listed(runs[count], count)}" for count in both],
        raw={
            "shape": shape,
            "each_s": {
                count: statistics.median(_each_s(run, count) for run in runs[count])
                for count in both
            },
            "phases_s": {count: [dict(run) for run in runs[count]] for count in both},
        },
    )


def _each_s(phases: Phases, count: int) -> float:
    return sum(took for phase, took in phases.items() if phase != _ASIDE) / count


def _listed(runs: Sequence[Phases], count: int) -> str:
    """Describe the phases of the run that took the median time."""
    run = sorted(runs, key=lambda phases: _each_s(phases, count))[len(runs) // 2]
    each = ", ".join(f"{phase} {took / count * 1e6:.0f}" for phase, took in run.items())
    return f"{_each_s(run, count) * 1e6:.0f} µs ({each}; build stands aside)"


def _phases(bench: Bench, make: Callable[[int], flow.Flow], count: int) -> Phases:
    """Run a new flow on an empty server; returns how long each phase took."""
    bench.server.admin.flushall()
    gc.collect()
    marks = [("", time.perf_counter())]

    def mark(phase: str) -> None:
        marks.append((phase, time.perf_counter()))

    with contextlib.closing(
        redisflow.RedisBackend.from_url(bench.server.url)
    ) as backend:
        made = make(count)
        mark(_ASIDE)
        engine = helpers.load(made, engine="redisflow", backend=backend)
        mark("load")
        engine.compile()
        mark("compile")
        engine.prepare()
        mark("prepare")
        engine.validate()
        mark("validate")
        engine.run()
        mark("run")
    ends = itertools.pairwise(marks)
    return {phase: end - began for (_, began), (phase, end) in ends}
