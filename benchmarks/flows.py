"""The flows that are measured, and engines of either kind on them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from taskflow import flow, retry, task
from taskflow.engines import base, helpers
from taskflow.patterns import graph_flow, linear_flow, unordered_flow

import redisflow

#: Tasks of one layer of `layered`.
_WIDTH = 10


class Nothing(task.Task):
    """Does nothing."""

    def execute(self) -> None:
        """Do nothing."""


class Short(task.Task):
    """Has a short result."""

    def execute(self) -> str:
        """Say that it is done."""
        return "done"


class Large(task.Task):
    """Has a result of many characters.

    Args:
        name: of the task.
        characters: how many.
    """

    def __init__(self, name: str, characters: int) -> None:
        super().__init__(name)  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self._characters = characters

    def execute(self) -> str:
        """Make the result."""
        return "x" * self._characters


class Sleeps(task.Task):
    """Sleeps in place of work.

    Args:
        name: of the task.
        for_s: how long.
    """

    def __init__(self, name: str, for_s: float) -> None:
        super().__init__(name)  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self._for_s = for_s

    def execute(self) -> None:
        """Sleep, if there is anything to sleep."""
        if self._for_s:
            time.sleep(self._for_s)


class Fails(task.Task):
    """Fails as often as it is told to, and then no more.

    Args:
        name: of the task.
        times: how often.
    """

    def __init__(self, name: str, times: int) -> None:
        super().__init__(name)  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self._times = times

    def execute(self) -> None:
        """Fail, or do nothing."""
        if self._times:
            self._times -= 1
            raise Failed


class Failed(Exception):
    """What `Fails` raises."""


class Two(task.Task):
    """Takes what two tasks before it have provided."""

    def execute(self, left: None, right: None) -> None:
        """Do nothing."""


class Next(task.Task):
    """Takes what the task before it has provided."""

    def execute(self, before: int) -> int:
        """Count on."""
        return before + 1


def line(
    count: int, make: Callable[[str], task.Task] = Nothing, *, prefix: str = "task"
) -> flow.Flow:
    """Put tasks in a line."""
    made = linear_flow.Flow("line")
    made.add(*(make(f"{prefix}-{number}") for number in range(count)))
    return made


def lines(count: int, make: Callable[[str], task.Task]) -> flow.Flow:
    """Put lines of at most 100 tasks in a line: TaskFlow compiles them sooner."""
    made = linear_flow.Flow("lines")
    for first in range(0, count, 100):
        inner = linear_flow.Flow(f"line-{first}")
        last = min(first + 100, count)
        inner.add(*(make(f"task-{number}") for number in range(first, last)))
        made.add(inner)
    return made


def independent(count: int) -> flow.Flow:
    """Make tasks that wait for nothing."""
    made = unordered_flow.Flow("independent")
    make: Callable[[str], task.Task] = Nothing
    made.add(*(make(f"task-{number}") for number in range(count)))
    return made


def fan(count: int) -> flow.Flow:
    """Put all tasks but two between a first and a last one."""
    make: Callable[[str], task.Task] = Nothing
    made = linear_flow.Flow("fan")
    made.add(make("first"), independent(count - 2), make("last"))
    return made


def joined(count: int) -> flow.Flow:
    """Put a task behind tasks that wait for nothing."""
    make: Callable[[str], task.Task] = Nothing
    made = linear_flow.Flow("joined")
    made.add(independent(count), make("join"))
    return made


def layered(count: int) -> flow.Flow:
    """Make a graph of layers: each task takes the results of two of the layer before.

    All are added in one call: each call of TaskFlow's ``add`` looks at the whole graph.
    """
    made = graph_flow.Flow("layered")
    made.add(*(_in_layer(number) for number in range(count)))
    return made


def _in_layer(number: int) -> task.Task:
    name, provides = f"task-{number}", f"n{number}"
    layer, place = divmod(number, _WIDTH)
    first: Callable[..., task.Task] = Nothing
    other: Callable[..., task.Task] = Two
    if layer == 0:
        return first(name, provides=provides)
    before = _WIDTH * (layer - 1)
    two = [f"n{before + place}", f"n{before + (place + 1) % _WIDTH}"]
    return other(name, provides=provides, rebind=two)


def layers(count: int, width: int) -> flow.Flow:
    """Put layers in a line, each of tasks that wait for all of the layer before."""
    make: Callable[[str], task.Task] = Nothing
    made = linear_flow.Flow("layers")
    for number in range(count):
        layer = unordered_flow.Flow(f"layer-{number}")
        layer.add(*(make(f"task-{number}-{place}") for place in range(width)))
        made.add(layer)
    return made


def sleeping(count: int, for_s: float) -> flow.Flow:
    """Make tasks that wait for nothing and sleep."""
    made = unordered_flow.Flow("sleeping")
    made.add(*(Sleeps(f"task-{number}", for_s) for number in range(count)))
    return made


def failing(count: int) -> flow.Flow:
    """Put tasks in a line, and behind them one that fails: all are reverted."""
    made = line(count)
    made.add(Fails("fails", 1))
    return made


def repeated(count: int) -> flow.Flow:
    """Put tasks in a line, and behind them one that fails once: all is done again."""
    controller: Callable[..., retry.Retry] = retry.Times
    made = linear_flow.Flow("repeated", retry=controller(2, name="retry"))
    made.add(*failing(count))
    return made


def repeated_widely(count: int) -> flow.Flow:
    """Make tasks that wait for nothing, and one that fails once: all is done again."""
    controller: Callable[..., retry.Retry] = retry.Times
    made = linear_flow.Flow("repeated-widely", retry=controller(2, name="retry"))
    made.add(independent(count), Fails("fails", 1))
    return made


def retried(count: int) -> flow.Flow:
    """Make tasks, each of which fails once and has a retry controller of its own."""
    controller: Callable[..., retry.Retry] = retry.Times
    made = unordered_flow.Flow("retried")
    for number in range(count):
        inner = linear_flow.Flow(
            f"inner-{number}", retry=controller(2, name=f"retry-{number}")
        )
        made.add(inner.add(Fails(f"task-{number}", 1)))
    return made


def handing_on(count: int) -> flow.Flow:
    """Put tasks in a line, each with the result of the one before as its argument."""
    made = linear_flow.Flow("handing-on")
    for number in range(count):
        task_of: Callable[..., task.Task] = Next
        made.add(
            task_of(f"task-{number}", rebind=[f"n{number}"], provides=f"n{number + 1}")
        )
    return made


@contextlib.contextmanager
def ours(made: flow.Flow, url: str, **options: Any) -> Iterator[redisflow.SharedEngine]:
    """Load our engine on a new flow, ready to run."""
    engine = redisflow.load(made, run_id=None, url=url, **options)
    try:
        engine.compile()
        engine.prepare()
        engine.validate()
        yield engine
    finally:
        engine.storage.backend.close()


def theirs(made: flow.Flow, **options: Any) -> base.Engine:
    """Load TaskFlow's serial engine, ready to run."""
    engine: base.Engine = helpers.load(made, engine="serial", **options)
    engine.compile()
    engine.prepare()
    engine.validate()
    return engine


def run_s(engine: base.Engine) -> float:
    """Run a flow; returns how long that took."""
    started = time.perf_counter()
    engine.run()
    return time.perf_counter() - started
