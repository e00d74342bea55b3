"""How fast are a fan and a layered graph, beside TaskFlow in memory?

Runs alone are compared; what TaskFlow takes before its run is told apart.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import flows, growth
from benchmarks.measuring import Bench, Row


def measure(bench: Bench) -> Iterator[Row]:
    """Run both engines in turns."""
    count = bench.sizes.graphs
    for shape in ("in a fan-out and fan-in", "in a layered graph"):
        make = growth.SHAPES[shape]
        our_s: list[float] = []
        their_s: list[float] = []
        ready_s: list[float] = []
        for _ in range(2):
            with flows.ours(make(count), bench.server.url) as engine:
                our_s.append(flows.run_s(engine))
            began = time.perf_counter()
            theirs = flows.theirs(make(count), backend={"connection": "memory"})
            ready_s.append(time.perf_counter() - began)
            their_s.append(flows.run_s(theirs))
        yield Row(
            f"{count} tasks {shape} / TaskFlow serial, memory",
            [theirs / ours for theirs, ours in zip(their_s, our_s, strict=True)],
            unit="x",
            detail=[
                f"an atom of redisflow: {min(our_s) / count * 1e6:.0f} µs",
                f"an atom of TaskFlow: {min(their_s) / count * 1e6:.0f} µs",
                f"before its run: {min(ready_s):.1f} s",
            ],
            raw={"taskflow_s": their_s, "taskflow_ready_s": ready_s, "run_s": our_s},
        )
