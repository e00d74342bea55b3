"""What does Storage add to a bare compare-and-set script?

Storage's own script also keeps the journal, the revision and the list of changes, and
checks TaskFlow's table of transitions; the client keeps its mirror.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks.bare import BareCas
from benchmarks.measuring import Bench, Budget, Cost, Row, between, costing, total
from benchmarks.operations import operations


def measure(bench: Bench) -> Iterator[Row]:
    """Take bursts of both in turns."""
    admin, calls = bench.server.admin, bench.sizes.burst
    with (
        contextlib.closing(bench.server.connect()) as client,
        operations(bench.server.url) as named,
    ):
        bare = BareCas(client)
        transition = named["transition_atom_state"]
        bare.burst(calls)
        transition(0)
        transition(1)
        bare_costs: list[Cost] = []
        our_costs: list[Cost] = []
        for _ in range(bench.sizes.rounds):
            with costing(admin) as cost:
                bare.burst(calls)
            bare_costs.append(cost)
            with costing(admin) as cost:
                for number in range(calls):
                    transition(number)
            our_costs.append(cost)
        with costing(admin) as cost:
            bare.burst(calls)
        bare_costs.append(cost)
    mean_rates = between([calls / cost.wall_s for cost in bare_costs])
    our_rates = [calls / cost.wall_s for cost in our_costs]
    yield Row(
        "Storage.transition_atom_state / bare EVALSHA",
        [ours / bare for ours, bare in zip(our_rates, mean_rates, strict=True)],
        unit="x",
        budget=Budget(0.6),
        detail=[
            f"a bare call: {total(bare_costs).per(calls * len(bare_costs))}",
            f"a call of Storage: {total(our_costs).per(calls * len(our_costs))}",
        ],
        raw={"bare_per_s": mean_rates, "storage_per_s": our_rates},
    )
