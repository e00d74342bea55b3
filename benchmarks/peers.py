"""How long does a task take in three small flows, by one worker?

Beside them stand figures that were published for the fastest peers. They were measured
elsewhere: unlike all else here, these rows compare with another machine. Ours count
everything from loading to the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

from taskflow import flow

from benchmarks import flows
from benchmarks.measuring import Bench, Budget, Row


@dataclass(frozen=True, slots=True)
class _Published:
    """What was published for the fastest peer, in milliseconds a task."""

    peer: str
    best_ms: float
    worst_ms: float

    def __str__(self) -> str:
        worst = f" … {self.worst_ms}" if self.worst_ms > self.best_ms else ""
        return f"{self.peer}, published: {self.best_ms}{worst}"


_LINE = _Published("BullMQ", 0.7, 1.2)
_JOIN = _Published("BullMQ", 0.6, 0.9)
_LAYERS = _Published("streaq", 2.6, 2.6)


def measure(bench: Bench) -> Iterator[Row]:
    """Run the three, one after the other, several times."""
    tasks = bench.sizes.peers
    layers = tasks // 5
    cases: list[tuple[str, Callable[[], flow.Flow], int, _Published]] = [
        ("in line", lambda: flows.line(tasks), tasks, _LINE),
        ("and a join", lambda: flows.joined(tasks), tasks + 1, _JOIN),
        ("in layers of 4", lambda: flows.layers(layers, 4), 4 * layers, _LAYERS),
    ]
    all_ms: list[list[float]] = [[] for _ in cases]
    run_ms: list[list[float]] = [[] for _ in cases]
    for _ in range(bench.sizes.runs):
        for number, (_what, make, count, _published) in enumerate(cases):
            made = make()
            began = perf_counter()
            with flows.ours(made, bench.server.url) as engine:
                ready = perf_counter()
                engine.run()
                ended = perf_counter()
            all_ms[number].append((ended - began) / count * 1000)
            run_ms[number].append((ended - ready) / count * 1000)
    for number, (what, _make, count, published) in enumerate(cases):
        alone = f"{min(run_ms[number]):.2f} … {max(run_ms[number]):.2f}"
        yield Row(
            f"a task, {count} {what} ({published.peer}: published)",
            all_ms[number],
            unit="ms",
            budget=Budget(published.best_ms, at_least=False),
            detail=[
                f"{published} ms a task by one worker, on another machine",
                f"the run alone, without loading and compiling: {alone} ms a task",
            ],
            raw={"run_ms": run_ms[number]},
        )
