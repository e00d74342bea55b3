"""Several engines on one flow, at a time or one after the other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from taskflow import exceptions, states
from taskflow.patterns import unordered_flow
from taskflow.persistence import models

import redisflow
from redisflow import RedisBackend
from redisflow.errors import StructureMismatch
from tests.support.eventually import eventually
from tests.support.noting import Call, Note, line, running, states_of


def test_engines_in_two_threads_share_a_flow(open_run):
    """Each task runs once, both engines take part and return."""
    notes, meet = [], threading.Barrier(2)

    def flow():
        both = unordered_flow.Flow("both")
        both.add(*[Call(f"t{n}", lambda: meet.wait(20) >= 0) for n in range(2)])
        return line(both, *[Note(f"n{number}", notes) for number in range(20)])

    one, two = open_run(flow()), open_run(flow())
    with running(one) as first, running(two) as second:
        first.result(30)
        second.result(30)
    assert notes == [f"n{number}" for number in range(20)]
    done = [engine.statistics["completed"] for engine in (one, two)]
    assert sum(done) == 22
    assert min(done) > 0


def test_all_engines_raise_what_made_the_flow_fail(open_run):
    """The one where the task ran raises its exception, the other describes it."""
    meet = threading.Barrier(2)

    def fail():
        meet.wait(20)
        raise OSError("both")

    def flow():
        return unordered_flow.Flow("f").add(Call("a", fail), Call("b", meet.wait))

    one, two = open_run(flow()), open_run(flow())
    with running(one) as first, running(two) as second:
        errors = [outcome.exception(30) for outcome in (first, second)]
    kinds = {type(error) for error in errors}
    assert kinds == {OSError, exceptions.WrappedFailure}
    (wrapped,) = [e for e in errors if isinstance(e, exceptions.WrappedFailure)]
    assert [failure.exception_str for failure in wrapped] == ["both"]


def test_all_engines_hear_that_the_flow_suspends(open_run):
    """Whoever has asked for it, each hears of SUSPENDING and of SUSPENDED once."""
    meet, gate = threading.Barrier(3), threading.Event()

    def stop():
        meet.wait(20)
        return gate.wait(20)

    def flow():
        both = unordered_flow.Flow("both").add(Call("a", stop), Call("b", stop))
        return line(both, Call("c", gate.wait))

    heard = ([], [])
    one, two = engines = open_run(flow()), open_run(flow())
    for engine, moves in zip(engines, heard, strict=True):
        engine.notifier.register(
            "*",
            lambda state, details, moves=moves: moves.append(
                (details["old_state"], state)
            ),
        )
    with running(one) as first, running(two) as second:
        meet.wait(20)
        elsewhere = open_run(flow())
        elsewhere.compile()
        elsewhere.suspend()
        gate.set()
        first.result(30)
        second.result(30)
    for moves in heard:
        assert moves[-2:] == [("RUNNING", "SUSPENDING"), ("SUSPENDING", "SUSPENDED")]
        assert len(set(moves)) == len(moves)


def test_last_worker_that_drains_ends_a_run_that_is_suspended(open_run):
    """Nobody else would, until somebody came to go on with it."""
    gate, begun = threading.Event(), threading.Event()

    def wait():
        begun.set()
        return gate.wait(20)

    engine = open_run(line(Call("a", wait), Call("b", wait)))
    with running(engine) as run:
        begun.wait(20)
        engine.suspend()
        engine.drain()
        gate.set()
        run.result(30)
    assert engine.storage.get_flow_state() == states.SUSPENDED


def test_a_failure_is_not_lost_when_others_change_the_flow(load, url):
    """A change by another storage just before and during a task hides nothing of it."""

    def fail():
        engine.storage.get_flow_state()
        raise OSError("b")

    engine = load(line(Note("a", []), Call("b", fail)))
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        detail = models.FlowDetail("line", engine.storage.flow_uuid)
        other = redisflow.Storage(detail, backend)
        engine.atom_notifier.register(
            states.SUCCESS, lambda *_: other.update_flow_metadata({"x": 1})
        )
        with pytest.raises(OSError, match="b"):
            engine.run()
        for storage in (engine.storage, other):
            assert list(storage.get_failures()) == ["b"]
            assert storage.has_failures()


def test_joining_with_another_structure_is_refused(open_run, notes, admin):
    """While workers live, another flow or other options are refused without a trace."""
    begun, go = threading.Event(), threading.Event()

    def flow(*more):
        return line(Call("a", lambda: begun.set() or go.wait(20)), *more)

    engine = open_run(flow())
    others = [
        open_run(flow(Note("more", notes))),
        open_run(flow(), never_resolve=True),
        open_run(flow(), defer_reverts=True),
    ]
    with running(engine) as outcome:
        assert begun.wait(20)
        eventually(lambda: engine.storage.get_atom_state("a") == states.RUNNING)
        watched = [key for key in admin.scan_iter() if not key.endswith(":workers")]
        before = {key: admin.dump(key) for key in watched}
        for other in others:
            with pytest.raises(StructureMismatch, match="being run by 1 worker"):
                other.run()
        assert {key: admin.dump(key) for key in watched} == before
        go.set()
        outcome.result(20)
    assert notes == []


def test_a_structure_may_change_while_nobody_runs(open_run, notes):
    """Atoms that were added are run, those that were removed are not."""
    engine = open_run(line(*[Note(name, notes) for name in "abc"]))
    told = engine.storage

    def suspend(_state, details):
        if details["task_name"] == "a":
            engine.suspend()

    engine.atom_notifier.register(states.SUCCESS, suspend)
    engine.run()
    changed = line(*[Note(name, notes) for name in ("a", "new", "c")])
    open_run(changed).run()
    assert notes == ["a", "new", "c"]
    assert told.get_flow_state() == states.SUCCESS
    assert told.get_atom_state("b") == states.PENDING


_ROOT = Path(__file__).parents[3]

_CRASHING = """
import os, signal, sys
from taskflow import task
from taskflow.patterns import linear_flow
import redisflow

class Word(task.Task):
    def execute(self):
        return self.name

class Crash(task.Task):
    def execute(self):
        os.kill(os.getpid(), signal.SIGKILL)

flow = linear_flow.Flow("line").add(Word("a", provides="x"), Crash("b"), Word("c"))
redisflow.load(flow, run_id="nightly", url=sys.argv[1], lease_s=0.5).run()
"""


@pytest.fixture
def crashed(url):
    """Let a process die of SIGKILL in the second task of a flow."""
    done = subprocess.run(
        [sys.executable, "-c", _CRASHING, url],
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        timeout=50,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("crashed")
def test_another_engine_goes_on_after_a_crash(open_run, notes):
    """What was finished is kept, what was begun is run again, as another attempt."""
    seen = []
    flow = line(
        Note("a", notes, provides="x"),
        Call("b", lambda: seen.append(redisflow.current())),
        Note("c", notes),
    )
    engine = open_run(flow, lease_s=0.5)
    assert states_of(engine) == {
        "a": states.SUCCESS,
        "b": states.RUNNING,
        "c": "PENDING",
    }
    engine.run()
    assert notes == ["c"]
    (current,) = seen
    assert (current.round, current.attempt) == (1, 1)
    assert engine.storage.fetch("x") == "a"
    assert engine.storage.get_flow_state() == states.SUCCESS


@pytest.mark.usefixtures("crashed")
def test_the_structure_may_have_changed_after_a_crash(open_run, notes):
    """Once the dead worker's lease is over another structure can be brought."""
    changed = line(*[Note(name, notes) for name in ("a", "new", "c")])

    def run():
        try:
            open_run(changed, lease_s=0.5).run()
        except StructureMismatch:
            return False
        return True

    eventually(run)
    assert notes == ["new", "c"]


def test_drain(open_run, notes):
    """A drained engine finishes what it holds and returns; the flow goes on."""
    begun, go = threading.Event(), threading.Event()

    def flow():
        waits = Call("a", lambda: begun.set() or go.wait(20))
        return line(waits, Note("b", notes))

    engine = open_run(flow())
    with running(engine) as outcome:
        assert begun.wait(20)
        engine.drain()
        go.set()
        outcome.result(20)
    assert notes == []
    assert engine.storage.get_flow_state() == states.RUNNING
    assert states_of(engine) == {"a": states.SUCCESS, "b": states.PENDING}
    open_run(flow()).run()
    assert notes == ["b"]
