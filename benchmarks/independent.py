"""How fast are tasks that wait for nothing, beside TaskFlow in memory?"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import flows
from benchmarks.measuring import Bench, Budget, Cost, Row, costing, total


def measure(bench: Bench) -> Iterator[Row]:
    """Run both engines in turns."""
    count = bench.sizes.independent
    their_s: list[float] = []
    costs: list[Cost] = []
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
    yield Row(
        f"{count} independent tasks / TaskFlow serial, memory",
        [theirs / cost.wall_s for theirs, cost in zip(their_s, costs, strict=True)],
        unit="x",
        budget=Budget(3),
        detail=[
            f"an atom of redisflow: {total(costs).per(count * len(costs))}",
            f"an atom of TaskFlow: {sum(their_s) / len(their_s) / count * 1e6:.0f} µs",
        ],
        raw={"taskflow_s": their_s, "run_s": [cost.wall_s for cost in costs]},
    )
