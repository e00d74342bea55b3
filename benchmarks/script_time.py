"""How long does the server take for each script?

INFO commandstats knows one figure for all scripts; so each is called alone.
An atom of a line is nearly all work_complete.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from benchmarks import flows
from benchmarks.bare import BareCas
from benchmarks.measuring import Bench, Cost, Row, costing
from benchmarks.operations import operations


def measure(bench: Bench) -> Iterator[Row]:
    """Call one script after the other, in several rounds."""
    calls, admin = bench.sizes.burst, bench.server.admin
    rounds = max(3, bench.sizes.rounds // 3)
    with (
        contextlib.closing(bench.server.connect()) as client,
        operations(bench.server.url) as named,
    ):
        bare = BareCas(client)
        spent: dict[str, list[float]] = {"a bare call": []}
        for turn in range(rounds):
            with costing(admin) as cost:
                bare.burst(calls)
            spent["a bare call"].append(_each(cost))
            for name, operation in named.items():
                with costing(admin) as cost:
                    for number in range(turn * calls, (turn + 1) * calls):
                        operation(number)
                spent.setdefault(f"Storage.{name}", []).append(_each(cost))
    spent["an atom in a line"] = []
    for _ in range(rounds):
        with (
            flows.ours(flows.line(calls), bench.server.url) as engine,
            costing(admin) as cost,
        ):
            engine.run()
        spent["an atom in a line"].append(_each(cost))
    for what, each in spent.items():
        yield Row(f"server time in scripts: {what}", each, unit="µs")


def _each(cost: Cost) -> float:
    return cost.script_s / cost.scripts * 1e6
