"""What does a flow cost where there are many at once?

Each has one atom. All are loaded and prepared first, so that all are there at a time,
and then each is run, by one process with one backend.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from taskflow.engines import helpers

import redisflow
from benchmarks import flows
from benchmarks.measuring import Bench, Row


def measure(bench: Bench) -> Iterator[Row]:
    """Make few and many in turns."""
    count = bench.sizes.flows
    few = max(1, count // 10)
    _took_s(bench, few)
    ratios: list[float] = []
    all_s: list[tuple[float, float]] = []
    grown = 0
    for _ in range(bench.sizes.crew_rounds):
        few_s = sum(_took_s(bench, few)) / few
        before = bench.server.admin.info("memory")["used_memory"]
        all_s.append(_took_s(bench, count))
        grown = bench.server.admin.info("memory")["used_memory"] - before
        ratios.append(sum(all_s[-1]) / count / few_s)
    made_ms, run_ms = (min(took) / count * 1000 for took in zip(*all_s, strict=True))
    yield Row(
        f"{count} flows of one atom / {few}, each, from load to end",
        ratios,
        unit="x",
        detail=[f"a flow: {made_ms:.2f} ms to make it, {run_ms:.2f} ms to run it"],
        raw={"made_and_run_s": all_s},
    )
    keys = bench.server.admin.dbsize()
    yield Row(f"{count} flows of one atom: keys, each", [keys / count])
    yield Row(
        f"{count} flows of one atom: server memory, each",
        [grown / count / 1024],
        unit="KiB",
    )


def _took_s(bench: Bench, count: int) -> tuple[float, float]:
    """Make flows on an empty server, then run them; returns how long each took."""
    bench.server.admin.flushall()
    url = bench.server.url
    with contextlib.closing(redisflow.RedisBackend.from_url(url)) as backend:
        made = [flows.line(1) for _ in range(count)]
        began = time.perf_counter()
        engines = [
            helpers.load(each, engine="redisflow", backend=backend) for each in made
        ]
        for engine in engines:
            engine.compile()
            engine.prepare()
            engine.validate()
        ready = time.perf_counter()
        for engine in engines:
            engine.run()
        return ready - began, time.perf_counter() - ready
