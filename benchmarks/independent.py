"""How fast are tasks that wait for nothing, beside TaskFlow in memory?

And how fast could they be, if each is recorded before the next one begins? That bound
is the rate of bare calls with an atom's commands.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks import flows
from benchmarks.bare import BareAtom
from benchmarks.measuring import Bench, Budget, Cost, Row, costing, total


def measure(bench: Bench) -> Iterator[Row]:
    """Run both engines in turns."""
    count = bench.sizes.independent
    their_s: list[float] = []
    costs: list[Cost] = []
    bare_s: list[float] = []
    for _ in range(2):
        theirs = flows.theirs(
            flows.independent(count), backend={"connection": "memory"}
        )
        their_s.append(flows.run_s(theirs))
        with (
            flows.ours(flows.independent(count), bench.server.url) as engine,
            costing(bench.server.admin) as cost,
        ):
            engine.run()
        costs.append(cost)
        with contextlib.closing(bench.server.connect()) as client:
            bare_s.append(count / BareAtom(client).burst(count))
        bench.server.admin.flushall()
    their_us, bare_us = (
        sum(rounds_s) / len(rounds_s) / count * 1e6 for rounds_s in (their_s, bare_s)
    )
    yield Row(
        f"{count} independent tasks / TaskFlow serial, memory",
        [theirs / cost.wall_s for theirs, cost in zip(their_s, costs, strict=True)],
        unit="x",
        budget=Budget(3),
        detail=[
            f"an atom of redisflow: {total(costs).per(count * len(costs))}",
            f"an atom of TaskFlow: {their_us:.0f} µs",
            f"an atom's commands alone: {bare_us:.0f} µs, {their_us / bare_us:.1f} x",
        ],
        raw={
            "taskflow_s": their_s,
            "bare_s": bare_s,
            "run_s": [cost.wall_s for cost in costs],
        },
    )
