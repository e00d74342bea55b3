"""The flows that are measured, and engines of either kind on them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from taskflow import flow, task
from taskflow.engines import base, helpers
from taskflow.patterns import linear_flow, unordered_flow

import redisflow


class Nothing(task.Task):
    """Does nothing."""

    def execute(self) -> None:
        """Do nothing."""


class Short(task.Task):
    """Has a short result."""

    def execute(self) -> str:
        """Say that it is done."""
        return "done"


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
