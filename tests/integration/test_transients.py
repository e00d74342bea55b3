"""Values that cannot leave a process: atoms that need them run where they are."""

from __future__ import annotations

import contextlib
import threading

import pytest
from taskflow import exceptions, states, task
from taskflow.patterns import linear_flow

import redisflow


class Use(task.Task):
    """Notes which engine has run it, by the value that this engine has."""

    def __init__(self, name, notes):
        super().__init__(name)
        self.notes = notes

    def execute(self, handle):
        """Write it down."""
        self.notes.append((self.name, handle))


class Wait(task.Task):
    """Tells that it runs, and waits."""

    def __init__(self, name, begun, go_on):
        super().__init__(name)
        self.begun, self.go_on = begun, go_on

    def execute(self):
        """Tell, and wait."""
        self.begun.set()
        assert self.go_on.wait(20)


@pytest.fixture
def open_run(url):
    """Load engines on one run; their backends are closed in the end."""
    with contextlib.ExitStack() as stack:

        def open_run(flow, **options):
            options = {"run_id": "nightly", "url": url, "lease_s": 1, **options}
            engine = redisflow.load(flow, **options)
            stack.callback(engine.storage.backend.close)
            return engine

        yield open_run


def test_atoms_are_left_to_the_worker_that_has_the_value(open_run):
    """A worker that lacks it takes part in all else, and hands the atom over."""
    notes, begun, go_on = [], threading.Event(), threading.Event()

    def flow():
        return linear_flow.Flow("f").add(
            Wait("first", begun, go_on), Use("a", notes), Use("b", notes)
        )

    rich, poor = open_run(flow(), transient={"handle": "here"}), open_run(flow())
    threads = [threading.Thread(target=engine.run) for engine in (rich, poor)]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    while poor.storage.get_flow_state() != states.RUNNING:
        pass
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert notes == [("a", "here"), ("b", "here")]
    assert poor.storage.get_flow_state() == states.SUCCESS


def test_if_nobody_has_it_the_flow_says_so(open_run):
    """When the worker that had the value is gone, the run ends, and names the value."""
    notes, begun, go_on = [], threading.Event(), threading.Event()

    def flow():
        return linear_flow.Flow("f").add(Wait("first", begun, go_on), Use("a", notes))

    rich, poor = open_run(flow(), transient={"handle": "here"}), open_run(flow())
    first = threading.Thread(target=rich.run)
    first.start()
    assert begun.wait(20)
    raised = []

    def run():
        with pytest.raises(exceptions.MissingDependencies, match="handle") as error:
            poor.run()
        raised.append(error.value)

    second = threading.Thread(target=run)
    second.start()
    while len(poor.storage.mirror.atoms) < 2 or poor.storage.mirror.live < 2:
        poor.storage.get_flow_state()
    rich.drain()
    go_on.set()
    first.join(20)
    second.join(20)
    assert notes == []
    assert len(raised) == 1
    assert poor.storage.get_flow_state() == states.FAILURE


def test_alone_it_is_told_before_anything_runs(open_run, admin):
    """Without another worker a missing value is refused up front, as in TaskFlow."""
    with pytest.raises(exceptions.MissingDependencies, match="handle"):
        open_run(linear_flow.Flow("f").add(Use("a", [])))
    assert admin.keys() == []


def test_a_later_run_does_not_rely_on_it(open_run):
    """What a worker of an earlier run had counts no longer."""
    notes = []
    flow = linear_flow.Flow("f").add(Use("a", notes))
    open_run(flow, transient={"handle": "here"}).run()
    later = open_run(flow, rerun=True)
    with pytest.raises(exceptions.MissingDependencies, match="handle"):
        later.run()
    assert notes == [("a", "here")]


def test_there_may_be_thousands(open_run):
    """More names than a script can hand to one command are noted, and forgotten."""
    notes = []
    values = {f"v{number}": number for number in range(5000)}
    flow = linear_flow.Flow("f").add(Use("a", notes))
    engine = open_run(flow, transient={"handle": "here", **values})
    engine.run()
    assert notes == [("a", "here")]
    engine.storage.mirror.sync()
    assert engine.storage.mirror.flow.transients == frozenset()
