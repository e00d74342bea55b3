"""Cancelling: one engine asks, all workers obey, and everybody is told why."""

from __future__ import annotations

import contextlib
import threading

import pytest
from taskflow import retry, states, task
from taskflow.patterns import linear_flow, unordered_flow
from taskflow.types.failure import Failure

import redisflow
from redisflow.errors import FlowCancelled, InvalidState


class Note(task.Task):
    """Notes what is done with it; calls what it was given."""

    def __init__(self, name, notes, call=None):
        super().__init__(name)
        self.notes, self.call = notes, call

    def execute(self):
        """Write it down, and call."""
        self.notes.append(self.name)
        if self.call is not None:
            self.call()
        return self.name

    def revert(self, **_arguments):
        """Write it down."""
        self.notes.append(f"-{self.name}")


@pytest.fixture
def open_run(url):
    """Load engines on one run; their backends are closed in the end."""
    with contextlib.ExitStack() as stack:

        def open_run(flow, **options):
            engine = redisflow.load(flow, run_id="nightly", url=url, **options)
            stack.callback(engine.storage.backend.close)
            return engine

        yield open_run


@pytest.fixture
def notes():
    """Collect what tasks write down."""
    return []


def cancels(engine, reason=""):
    """Make a function that cancels the flow from another engine."""

    def cancel():
        engine.compile()
        engine.cancel(reason)

    return cancel


def line(notes, call, *more):
    """Make a flow whose second task calls something."""
    return linear_flow.Flow("line").add(Note("a", notes), Note("b", notes, call), *more)


def test_all_is_reverted_by_whoever_is_there(open_run, notes):
    """What runs ends first, nothing else begins, and run() says who and why."""
    other = open_run(line(notes, None, Note("c", notes)))
    engine = open_run(line(notes, cancels(other, "wrong input"), Note("c", notes)))

    with pytest.raises(FlowCancelled, match=r"cancelled by .*: wrong input"):
        engine.run()

    assert notes == ["a", "b", "-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
    assert engine.storage.get_atom_state("c") == states.PENDING
    with pytest.raises(FlowCancelled, match="wrong input"):
        other.run()


def test_it_stands_in_the_journal(open_run, notes, admin):
    """Who asked is journaled, with the intention that all atoms have from then on."""
    other = open_run(line(notes, None))
    engine = open_run(line(notes, cancels(other)))
    with pytest.raises(FlowCancelled, match="cancelled by"):
        engine.run()

    keys = engine.storage.backend.keys.of_flow(engine.storage.flow_uuid)
    entries = [entry for _id, entry in admin.xrange(keys.events)]
    asked = [entry for entry in entries if not entry["atom"] and entry["intention"]]
    assert [(e["from"], e["to"], e["intention"], e["worker"]) for e in asked] == [
        ("RUNNING", "RUNNING", "REVERT", other.storage.writer)
    ]


def test_retry_controllers_are_not_asked(open_run, notes):
    """A cancelled flow is not tried again, and its controllers are reverted, too."""

    def flow(call):
        inner = line(notes, call)
        return linear_flow.Flow("outer", retry.AlwaysRevert("again")).add(inner)

    other = open_run(flow(None))
    engine = open_run(flow(cancels(other)))
    with pytest.raises(FlowCancelled, match="cancelled"):
        engine.run()
    assert notes == ["a", "b", "-b", "-a"]
    assert engine.storage.get_atom_state("again") == states.REVERTED


def test_a_failure_beside_it_is_raised_as_well(open_run, notes):
    """Where a task fails after the flow was cancelled, both are told."""

    def fail():
        cancels(other)()
        raise OSError("disk")

    other = open_run(line(notes, None))
    engine = open_run(line(notes, fail))
    with pytest.raises(Exception, match="cancelled") as raised:
        engine.run()
    failures = list(raised.value)
    assert all(isinstance(failure, Failure) for failure in failures)
    assert [f.check(FlowCancelled, OSError) for f in failures] == [
        FlowCancelled,
        OSError,
    ]
    assert notes == ["a", "b", "-b", "-a"]


def test_asked_twice_it_is_done_once(open_run, notes):
    """The second one who cancels changes nothing; its reason is not kept."""

    def twice():
        cancels(other, "first")()
        cancels(other, "second")()

    other = open_run(line(notes, None))
    engine = open_run(line(notes, twice))
    with pytest.raises(FlowCancelled, match="first"):
        engine.run()
    assert notes == ["a", "b", "-b", "-a"]


def test_workers_that_wait_are_woken(open_run, notes):
    """A cancel from outside reaches workers that are at a task, and idle ones."""
    begun, go_on = threading.Event(), threading.Event()

    def flow(call):
        return unordered_flow.Flow("u").add(Note("a", notes, call))

    def wait():
        begun.set()
        assert go_on.wait(20)

    other = open_run(flow(None))
    engines = [open_run(flow(wait)) for _ in range(2)]
    ended = []

    def run(engine):
        with pytest.raises(FlowCancelled, match="cancelled"):
            engine.run()
        ended.append(engine)

    threads = [threading.Thread(target=run, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    assert begun.wait(20)
    cancels(other)()
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert len(ended) == 2
    assert notes == ["a", "-a"]


def test_a_suspended_flow_is_reverted_by_its_next_run(open_run, notes):
    """Nobody runs it now; whoever resumes it undoes what was done."""
    engine = open_run(line(notes, None, Note("c", notes)))
    flow = line(notes, cancels(engine), Note("c", notes))

    def suspend():
        engine.compile()
        engine.suspend()

    list(flow)[1].call = suspend
    first = open_run(flow)
    first.run()
    assert first.storage.get_flow_state() == states.SUSPENDED
    first.cancel("not needed")

    second = open_run(line(notes, None, Note("c", notes)))
    with pytest.raises(FlowCancelled, match="not needed"):
        second.run()
    assert notes == ["a", "b", "-b", "-a"]
    assert second.storage.get_flow_state() == states.REVERTED


def test_the_next_run_knows_nothing_of_it(open_run, notes):
    """A cancelled flow that is started once more runs to its end."""
    other = open_run(line(notes, None))
    engine = open_run(line(notes, cancels(other)))
    with pytest.raises(FlowCancelled, match="cancelled"):
        engine.run()
    notes.clear()

    open_run(line(notes, None), rerun=True).run()
    assert notes == ["a", "b"]


def test_what_cannot_be_cancelled(open_run, notes):
    """A run that has not begun, or is over, is refused; nothing is changed."""
    engine = open_run(line(notes, None))
    engine.compile()
    with pytest.raises(InvalidState, match="has not begun"):
        engine.cancel()
    engine.run()
    with pytest.raises(InvalidState, match="is over"):
        engine.cancel()
    assert engine.storage.get_flow_state() == states.SUCCESS
