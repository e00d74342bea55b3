"""What do retries and reverts cost, beside executing?

A line whose last task fails goes all the way back; under a retry controller it is then
done again. And of tasks that wait for nothing each fails once, and is tried again by a
controller of its own: of those two atoms are counted for each.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from taskflow import flow
from taskflow.engines import base

from benchmarks import flows
from benchmarks.measuring import Bench, Row


def measure(bench: Bench) -> Iterator[Row]:
    """Run lines that fail and one that does not in turns; then look at TaskFlow."""
    count, retries = bench.sizes.reverts, bench.sizes.retries
    cases = (
        (f"{count} atoms executed and reverted", flows.failing, count, 1),
        (f"{count} atoms reverted and done again", flows.repeated, count, 1),
        (f"{retries} tasks, each retried by its own", flows.retried, retries, 2),
    )
    plain_s: list[float] = []
    each_s: list[list[float]] = [[] for _ in cases]
    for _ in range(bench.sizes.crew_rounds):
        plain_s.append(_ours_s(bench, flows.line(count)) / count)
        for found_s, (_what, make, tasks, atoms) in zip(each_s, cases, strict=True):
            found_s.append(_ours_s(bench, make(tasks)) / (tasks * atoms))
    for found_s, (what, *_) in zip(each_s, cases, strict=True):
        pairs = zip(found_s, plain_s, strict=True)
        yield Row(
            f"{what} / {count} in line, each",
            [each / plain for each, plain in pairs],
            unit="x",
            detail=[f"{min(found_s) * 1e6:.0f} µs an atom"],
            raw={"atom_s": found_s, "line_atom_s": plain_s},
        )
    yield _beside_taskflow(bench)


def _beside_taskflow(bench: Bench) -> Row:
    count = bench.sizes.graphs
    our_s: list[float] = []
    their_s: list[float] = []
    for _ in range(2):
        our_s.append(_ours_s(bench, flows.failing(count)))
        theirs = flows.theirs(flows.failing(count), backend={"connection": "memory"})
        their_s.append(_run_s(theirs))
    return Row(
        f"{count} atoms executed and reverted / TaskFlow serial, memory",
        [theirs / ours for theirs, ours in zip(their_s, our_s, strict=True)],
        unit="x",
        raw={"taskflow_s": their_s, "run_s": our_s},
    )


def _ours_s(bench: Bench, made: flow.Flow) -> float:
    with flows.ours(made, bench.server.url) as engine:
        return _run_s(engine)


def _run_s(engine: base.Engine) -> float:
    """Run a flow that may fail; returns how long that took."""
    began = time.perf_counter()
    with contextlib.suppress(flows.Failed):
        engine.run()
    return time.perf_counter() - began
