"""How fast is a line of tasks, beside bare EVALSHA and beside TaskFlow in memory?

Tasks in a line are the worst case: nothing can be done ahead, so every atom waits for
the round trip of the one before. Only runs are timed; what comes before them (loading,
compiling, preparing) is told apart.

Bare calls take turns with atoms within one run, a few milliseconds each, so that other
programs slow both down alike: every so often a task of the line makes a burst of them,
whose time is taken out of the run's. TaskFlow runs between two plain runs of ours.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from taskflow import flow, task
from taskflow.patterns import linear_flow

from benchmarks import flows
from benchmarks.bare import BareAtom, BareCas
from benchmarks.measuring import Bench, Budget, Cost, Row, costing, total

_BURSTS = 20


class Burst(task.Task):
    """Makes bare calls, and keeps in mind how long they took."""

    def __init__(self, name: str, bare: BareCas, calls: int) -> None:
        super().__init__(name)  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self._bare = bare
        self._calls = calls
        self.took_s = 0.0

    def execute(self) -> None:
        """Make the calls."""
        started = time.perf_counter()
        self._bare.burst(self._calls)
        self.took_s = time.perf_counter() - started


def measure(bench: Bench) -> Iterator[Row]:
    """Compare with bare calls, then with TaskFlow."""
    yield _beside_bare(bench)
    yield _bound(bench)
    yield _beside_taskflow(bench)


def _beside_bare(bench: Bench) -> Row:
    calls = bench.sizes.line // _BURSTS
    bare_s: list[float] = []
    our_s: list[float] = []
    with contextlib.closing(bench.server.connect()) as client:
        for _ in range(bench.sizes.runs):
            bursts = [
                Burst(f"burst-{number}", BareCas(client), calls)
                for number in range(_BURSTS)
            ]
            with flows.ours(_with_bursts(bursts, calls), bench.server.url) as engine:
                run_s = flows.run_s(engine)
            burst_s = sum(burst.took_s for burst in bursts)
            bare_s.append(burst_s / (_BURSTS * calls))
            our_s.append((run_s - burst_s) / (_BURSTS * (calls + 1)))
    return Row(
        f"{_BURSTS * calls} tasks in line, atoms / bare EVALSHA, per second",
        [bare / ours for bare, ours in zip(bare_s, our_s, strict=True)],
        unit="x",
        budget=Budget(0.5),
        detail=[f"a bare call: {_us(bare_s)} µs", f"an atom: {_us(our_s)} µs"],
        raw={"bare_s": bare_s, "atom_s": our_s},
    )


def _bound(bench: Bench) -> Row:
    """Compare two kinds of bare calls: what is left out, no atom can do without."""
    calls = bench.sizes.line // _BURSTS
    pairs: list[tuple[float, float]] = []
    with contextlib.closing(bench.server.connect()) as client:
        cas, atom = BareCas(client), BareAtom(client)
        for _ in range(bench.sizes.runs):
            pairs += [(cas.burst(calls), atom.burst(calls)) for _ in range(_BURSTS)]
    bench.server.admin.flushall()
    return Row(
        "an atom's commands in a bare script / bare EVALSHA, per second",
        [atom_rate / cas_rate for cas_rate, atom_rate in pairs],
        unit="x",
        detail=["the bound of the row above, were deciding and Python free"],
    )


def _with_bursts(bursts: list[Burst], tasks: int) -> flow.Flow:
    """Put each burst behind some tasks that do nothing, all in one line."""
    made = linear_flow.Flow("line with bursts")
    for number, burst in enumerate(bursts):
        for atom in flows.line(tasks, prefix=f"task-{number}"):
            made.add(atom)
        made.add(burst)
    return made


def _us(values_s: list[float]) -> str:
    return " … ".join(f"{value * 1e6:.0f}" for value in (min(values_s), max(values_s)))


def _beside_taskflow(bench: Bench) -> Row:
    count = bench.sizes.line
    first_cost, first_ready_s = _run_ours(bench)
    started = time.perf_counter()
    theirs = flows.theirs(flows.line(count), backend={"connection": "memory"})
    their_ready_s = time.perf_counter() - started
    their_s = flows.run_s(theirs)
    last_cost, last_ready_s = _run_ours(bench)
    costs = [first_cost, last_cost]
    return Row(
        f"{count} tasks in line / TaskFlow serial, memory",
        [their_s / cost.wall_s for cost in costs],
        unit="x",
        budget=Budget(30),
        detail=[
            f"an atom of redisflow: {total(costs).per(count * len(costs))}",
            f"an atom of TaskFlow: {their_s / count * 1e6:.0f} µs",
            f"before its run: {their_ready_s:.1f} s",
            f"before ours: {first_ready_s:.1f} and {last_ready_s:.1f} s",
        ],
        raw={
            "taskflow_s": their_s,
            "taskflow_ready_s": their_ready_s,
            "ready_s": [first_ready_s, last_ready_s],
            "run_s": [cost.wall_s for cost in costs],
            "client_cpu_s": [cost.client_s for cost in costs],
            "server_cpu_s": [cost.server_s for cost in costs],
            "script_s": [cost.script_s for cost in costs],
            "scripts": [cost.scripts for cost in costs],
        },
    )


def _run_ours(bench: Bench) -> tuple[Cost, float]:
    started = time.perf_counter()
    with flows.ours(flows.line(bench.sizes.line), bench.server.url) as engine:
        ready_s = time.perf_counter() - started
        with costing(bench.server.admin) as cost:
            engine.run()
    return cost, ready_s
