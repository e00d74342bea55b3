"""What all questions share: sizes, rows of the table, what a stretch of work costs."""

from __future__ import annotations

import contextlib
import gc
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from benchmarks.server import Server


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: how often a short measurement is repeated.
        runs: how often a whole flow is run.
        burst: calls in one stretch of a short measurement.
        counted: calls, or atoms, whose commands are counted. A plan opens some
            hundred atoms a call: the longer line has to be one call, too.
        line: tasks in a line.
        independent: tasks that wait for nothing.
        graphs: tasks in the other shapes that are compared with TaskFlow.
        peers: tasks in the flows beside which published figures stand.
        growth: atoms in flows of every shape; the first is what others stand beside.
        growth_rounds: how often each of those is run.
        growth_small: how often the first is, before each of the others and after it.
        scripts: atoms in flows of which each script is timed.
        workers: how many run one flow together.
        crew_rounds: how often they do, and how often other long things are done.
        no_ops: atoms of no time that they share.
        tasks_each: how many tasks each of them has, by the time of one in ms.
        legs: hand-overs of an atom in one flow.
        leases_s: of workers that are killed.
        kills: how many are killed of each.
        idle: workers with nothing to do.
        idle_s: how long they are watched.
        flows: how many are there at once.
        reverts: atoms that are reverted.
        retries: tasks that are retried, each by a controller of its own.
        large: how many large results, and of how many bytes.
        memory: atoms in the flows whose memory is measured.
        sqlite: tasks in a line beside SQLite; 0: not at all.
    """

    rounds: int
    runs: int
    burst: int
    counted: int
    line: int
    independent: int
    graphs: int
    peers: int
    growth: tuple[int, ...]
    growth_rounds: int
    growth_small: int
    scripts: tuple[int, ...]
    workers: tuple[int, ...]
    crew_rounds: int
    no_ops: int
    tasks_each: Mapping[int, int]
    legs: int
    leases_s: tuple[float, ...]
    kills: int
    idle: int
    idle_s: float
    flows: int
    reverts: int
    retries: int
    large: tuple[int, int]
    memory: tuple[int, ...]
    sqlite: int = 0


QUICK = Sizes(
    rounds=3,
    runs=2,
    burst=50,
    counted=10,
    line=40,
    independent=40,
    graphs=30,
    peers=20,
    growth=(20, 40),
    growth_rounds=1,
    growth_small=1,
    scripts=(30,),
    workers=(1, 2),
    crew_rounds=1,
    no_ops=20,
    tasks_each={5: 4},
    legs=3,
    leases_s=(0.5,),
    kills=1,
    idle=3,
    idle_s=0.5,
    flows=10,
    reverts=20,
    retries=10,
    large=(3, 100_000),
    memory=(50,),
)
NORMAL = Sizes(
    rounds=15,
    runs=3,
    burst=200,
    counted=50,
    line=1000,
    independent=1000,
    graphs=300,
    peers=500,
    growth=(1000, 4000),
    growth_rounds=1,
    growth_small=2,
    scripts=(4000,),
    workers=(1, 2, 4, 8),
    crew_rounds=1,
    no_ops=1000,
    tasks_each={5: 100, 50: 100},
    legs=30,
    leases_s=(1.0,),
    kills=2,
    idle=50,
    idle_s=5.0,
    flows=1000,
    reverts=1000,
    retries=100,
    large=(100, 1_000_000),
    memory=(2000,),
)
FULL = Sizes(
    rounds=25,
    runs=7,
    burst=500,
    counted=50,
    line=1000,
    independent=1000,
    graphs=1000,
    peers=500,
    growth=(1000, 10_000, 100_000),
    growth_rounds=2,
    growth_small=3,
    scripts=(10_000, 100_000),
    workers=(1, 2, 4, 8),
    crew_rounds=3,
    no_ops=4000,
    tasks_each={5: 400, 50: 100},
    legs=200,
    leases_s=(1.0, 5.0),
    kills=4,
    idle=50,
    idle_s=30.0,
    flows=1000,
    reverts=1000,
    retries=500,
    large=(100, 1_000_000),
    memory=(2000, 10_000),
    sqlite=400,
)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a value has to hold: at least, or at most, the limit."""

    limit: float
    at_least: bool = True

    def met_by(self, value: float) -> bool:
        """Tell whether a value holds it."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was measured, and beside what.
        values: one per round; the table shows their median and their range.
        unit: of the values; "" for a count, "x" for a ratio.
        budget: what the median has to hold, or None where nothing was promised.
        detail: lines that are printed below the table.
        raw: whatever else belongs into the file.
    """

    what: str
    values: Sequence[float]
    unit: str = ""
    budget: Budget | None = None
    detail: Sequence[str] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The value that is judged."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Bench:
    """A server, and how much to measure on it."""

    server: Server
    sizes: Sizes


Question = Callable[[Bench], Iterator[Row]]


@dataclass(slots=True)
class Cost:
    """What a stretch of work took.

    Attributes:
        wall_s: the time that passed.
        client_s: processor time of this process.
        server_s: processor time of the server.
        script_s: of that, inside of scripts, by the server's own clock.
        scripts: how many scripts were called by their sha.
    """

    wall_s: float = 0.0
    client_s: float = 0.0
    server_s: float = 0.0
    script_s: float = 0.0
    scripts: int = 0

    def per(self, count: int) -> str:
        """Describe the costs of one out of ``count``, in microseconds."""
        each = 1e6 / count
        return (
            f"{self.wall_s * each:.0f} µs: client CPU {self.client_s * each:.0f},"
            f" server CPU {self.server_s * each:.0f}"
            f" (inside scripts {self.script_s * each:.0f})"
        )


@contextlib.contextmanager
def costing(admin: redis.Redis) -> Iterator[Cost]:
    """Measure what is done inside; the result is complete at the end of the block."""
    cost = Cost()
    gc.collect()
    server_s, script_s, scripts = _server_costs(admin)
    client_s, started = time.process_time(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.wall_s = time.perf_counter() - started
        cost.client_s = time.process_time() - client_s
        after = _server_costs(admin)
        cost.server_s = after[0] - server_s
        cost.script_s = after[1] - script_s
        cost.scripts = after[2] - scripts


def _server_costs(admin: redis.Redis) -> tuple[float, float, int]:
    cpu = admin.info("cpu")
    evalsha = admin.info("commandstats").get("cmdstat_evalsha", {"usec": 0, "calls": 0})
    busy_s = cpu["used_cpu_user"] + cpu["used_cpu_sys"]
    return busy_s, evalsha["usec"] / 1e6, evalsha["calls"]


def total(costs: Sequence[Cost]) -> Cost:
    """Add up several stretches."""
    return Cost(
        sum(cost.wall_s for cost in costs),
        sum(cost.client_s for cost in costs),
        sum(cost.server_s for cost in costs),
        sum(cost.script_s for cost in costs),
        sum(cost.scripts for cost in costs),
    )


def between(yardsticks: Sequence[float]) -> list[float]:
    """Give what n + 1 yardsticks say about the n stretches between them."""
    return [(before + after) / 2 for before, after in itertools.pairwise(yardsticks)]
