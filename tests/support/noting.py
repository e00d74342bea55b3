"""Tasks that write down what is done with them, and flows of them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

from taskflow import flow, task
from taskflow.patterns import linear_flow

from redisflow import SharedEngine


class Note(task.Task):
    """Writes down what is done with it."""

    def __init__(self, name: str, notes: list[str], **options: Any) -> None:
        super().__init__(name, **options)  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self.notes = notes

    def execute(self, **arguments: Any) -> Any:
        """Write it down, and return the name with what was given."""
        self.notes.append(self.name)
        return self.name if not arguments else (self.name, arguments)

    def revert(self, **_arguments: Any) -> None:
        """Write it down."""
        self.notes.append(f"-{self.name}")


class Fail(Note):
    """Raises."""

    def execute(self, **_arguments: Any) -> Any:
        """Write it down, and raise."""
        self.notes.append(self.name)
        raise OSError(self.name)


class Stuck(Note):
    """Cannot be reverted."""

    def revert(self, **_arguments: Any) -> None:
        """Write it down, and raise."""
        self.notes.append(f"-{self.name}")
        raise RuntimeError(self.name)


class Call(task.Task):
    """Calls what it was given."""

    def __init__(self, name: str, function: Callable[[], Any], **options: Any) -> None:
        super().__init__(name, **options)  # type: ignore[no-untyped-call]  # TaskFlow is untyped
        self.function = function

    def execute(self) -> Any:
        """Call it."""
        return self.function()


def line(*tasks: task.Task | flow.Flow, name: str = "line") -> flow.Flow:
    """Make a linear flow."""
    made = linear_flow.Flow(name)
    made.add(*tasks)
    return made


def states_of(engine: SharedEngine) -> dict[str, str | None]:
    """Return the states of all atoms."""
    storage = engine.storage
    storage.get_flow_state()
    names = [name for name in storage.mirror.atoms if not name.startswith("_")]
    return {name: state for name, (state, _) in storage.get_atoms_states(names).items()}


def contents(admin: Any) -> dict[bytes, bytes]:
    """Dump all keys of the test's server."""
    return {key: admin.dump(key) for key in admin.scan_iter()}


@contextlib.contextmanager
def running(engine: SharedEngine) -> Iterator[futures.Future[None]]:
    """Run an engine in a thread; give a future of what comes of it."""
    with futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(engine.run)
