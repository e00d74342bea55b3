"""Tasks that write down what is done with them, and flows of them."""

from __future__ import annotations

import contextlib
from concurrent import futures

from taskflow import task
from taskflow.patterns import linear_flow


class Note(task.Task):
    """Writes down what is done with it."""

    def __init__(self, name, notes, **options):
        super().__init__(name, **options)
        self.notes = notes

    def execute(self, **arguments):
        """Write it down, and return the name with what was given."""
        self.notes.append(self.name)
        return self.name if not arguments else (self.name, arguments)

    def revert(self, **_arguments):
        """Write it down."""
        self.notes.append(f"-{self.name}")


class Fail(Note):
    """Raises."""

    def execute(self, **_arguments):
        """Write it down, and raise."""
        self.notes.append(self.name)
        raise OSError(self.name)


class Stuck(Note):
    """Cannot be reverted."""

    def revert(self, **_arguments):
        """Write it down, and raise."""
        self.notes.append(f"-{self.name}")
        raise RuntimeError(self.name)


class Call(task.Task):
    """Calls what it was given."""

    def __init__(self, name, function, **options):
        super().__init__(name, **options)
        self.function = function

    def execute(self):
        """Call it."""
        return self.function()


def line(*tasks, name="line"):
    """Make a linear flow."""
    return linear_flow.Flow(name).add(*tasks)


def states_of(engine):
    """Return the states of all atoms."""
    storage = engine.storage
    storage.get_flow_state()
    names = [name for name in storage.mirror.atoms if not name.startswith("_")]
    return {name: state for name, (state, _) in storage.get_atoms_states(names).items()}


def contents(admin):
    """Dump all keys of the test's server."""
    return {key: admin.dump(key) for key in admin.scan_iter()}


@contextlib.contextmanager
def running(engine):
    """Run an engine in a thread; give a future of what comes of it."""
    with futures.ThreadPoolExecutor(1) as pool:
        yield pool.submit(engine.run)
