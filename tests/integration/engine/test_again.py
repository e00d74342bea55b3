"""Flows that are run once more, after their end or after a suspend."""

from __future__ import annotations

import threading

import pytest
from taskflow import exceptions, states
from taskflow.persistence import models

from tests.support.noting import Call, Fail, Note, line, running


def test_a_run_after_success_runs_nothing_again(load, notes):
    """The next run finds all done and ends in SUCCESS."""
    engine = load(line(Note("a", notes)))
    engine.run()
    engine.run()
    assert notes == ["a"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_a_run_after_reverted_starts_from_the_beginning(load, notes):
    """All atoms are reset; what failed may go well now."""
    fail = Fail("b", notes)
    engine = load(line(Note("a", notes), fail, Note("c", notes)))
    with pytest.raises(OSError, match="b"):
        engine.run()
    notes.clear()
    fail.execute = lambda: "well"
    engine.run()
    assert notes == ["a", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS
    assert not engine.storage.has_failures()
    assert engine.storage.get("b") == "well"


def test_a_run_after_failure_goes_on(load, notes):
    """What was ended by an error around a task is taken up where it was."""
    seen = []

    class After(Note):
        def post_execute(self):
            if not seen:
                seen.append(1)
                raise LookupError("after")

    engine = load(line(Note("a", notes), After("b", notes), Note("c", notes)))
    with pytest.raises(LookupError):
        engine.run()
    engine.run()
    assert notes == ["a", "b", "b", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_a_run_while_it_runs_is_refused(load):
    """One engine runs once at a time."""
    begun, go = threading.Event(), threading.Event()
    engine = load(line(Call("a", lambda: begun.set() or go.wait(20))))
    with running(engine) as outcome:
        assert begun.wait(20)
        with pytest.raises(exceptions.ExecutionFailure, match="locked"):
            engine.run()
        go.set()
        outcome.result(20)


# Suspending


def test_a_listener_suspends_and_a_new_engine_goes_on(load, notes):
    """Nothing is begun after the suspend; the flow is taken up where it was."""
    flow = line(*[Note(name, notes) for name in "abc"])
    engine = load(flow)

    def suspend(_state, details):
        if details["task_name"] == "b":
            engine.suspend()

    engine.atom_notifier.register(states.SUCCESS, suspend)
    engine.run()
    assert (notes, engine.storage.get_flow_state()) == (["a", "b"], states.SUSPENDED)
    detail = models.FlowDetail("line", engine.storage.flow_uuid)
    load(flow, flow_detail=detail).run()
    assert notes == ["a", "b", "c"]
    assert engine.storage.get_flow_state() == states.SUCCESS


def test_another_thread_suspends_a_run_of_threads(load, notes):
    """Tasks at hand are finished, nothing more is begun, and the flow can go on."""
    begun, go = threading.Event(), threading.Event()
    first = Call("first", lambda: begun.set() or go.wait(20))
    engine = load(line(first, Note("b", notes)), executor="threads")
    with running(engine) as outcome:
        assert begun.wait(20)
        engine.suspend()
        go.set()
        outcome.result(20)
    assert (notes, engine.storage.get_flow_state()) == ([], states.SUSPENDED)
    engine.run()
    assert (notes, engine.storage.get_flow_state()) == (["b"], states.SUCCESS)


def test_a_revert_can_be_suspended(load, notes):
    """What is left to revert is reverted by the next run."""
    engine = load(line(Note("a", notes), Note("b", notes), Fail("c", notes)))

    def suspend(_state, details):
        if details["task_name"] == "b":
            engine.suspend()

    engine.atom_notifier.register(states.REVERTED, suspend)
    engine.run()
    assert notes == ["a", "b", "c", "-c", "-b"]
    assert engine.storage.get_flow_state() == states.SUSPENDED
    with pytest.raises(OSError, match="c"):
        engine.run()
    assert notes[5:] == ["-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
