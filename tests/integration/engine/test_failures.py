"""What comes of a failure: what is reverted, what is raised, how the run ends."""

from __future__ import annotations

import threading

import pytest
from taskflow import exceptions, states, task
from taskflow.patterns import graph_flow, unordered_flow

from redisflow.errors import ValueRefused
from tests.support.noting import Call, Fail, Note, Stuck, line, states_of


def test_a_failure_reverts_all_in_reverse_order(load, notes):
    """The failing task is reverted, then what came before it, nothing else."""
    flow = line(Note("a", notes), Note("b", notes), Fail("c", notes), Note("d", notes))
    engine = load(flow)
    with pytest.raises(OSError, match="c"):
        engine.run()
    assert notes == ["a", "b", "c", "-c", "-b", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED
    reverted = dict.fromkeys("abc", states.REVERTED)
    assert states_of(engine) == {**reverted, "d": states.PENDING}
    assert list(engine.storage.get_failures()) == ["c"]


def test_a_graph_is_reverted_in_the_order_of_its_links(load, notes):
    """A task is reverted once all that came after it has been."""
    a, b, c = (Note(name, notes, provides=name.upper()) for name in "abc")
    last = Fail("d", notes, requires=["B", "C"])
    b.rebind, c.rebind = {"A": "A"}, {"A": "A"}
    flow = graph_flow.Flow("g").add(last, c, b, a)
    flow.link(a, b)
    flow.link(a, c)
    with pytest.raises(OSError, match="d"):
        load(flow, executor="threads", max_workers=3).run()
    assert (notes[0], notes[3], notes[4], notes[7]) == ("a", "d", "-d", "-a")
    assert (set(notes[1:3]), set(notes[5:7])) == ({"b", "c"}, {"-b", "-c"})


def test_revert_is_given_result_and_failures(load):
    """The result of the task, and all failures of the flow, by name."""
    seen = {}

    class Undo(task.Task):
        def execute(self):
            return "mine"

        def revert(self, result, flow_failures):
            seen.update(result=result, failures=flow_failures)

    with pytest.raises(OSError, match="b"):
        load(line(Undo("a"), Fail("b", []))).run()
    assert seen["result"] == "mine"
    assert {name: str(f.exception) for name, f in seen["failures"].items()} == {
        "b": "b"
    }


def test_a_revert_that_fails_ends_the_run(load, notes):
    """The flow is in FAILURE, what came before is left alone, its error is raised."""
    flow = line(Note("a", notes), Stuck("b", notes), Fail("c", notes))
    engine = load(flow)
    with pytest.raises(RuntimeError, match="b"):
        engine.run()
    assert notes == ["a", "b", "c", "-c", "-b"]
    assert engine.storage.get_flow_state() == states.FAILURE
    assert states_of(engine) == {
        "a": states.SUCCESS,
        "b": states.REVERT_FAILURE,
        "c": states.REVERTED,
    }


def test_several_failures_are_raised_together(load, notes):
    """Two tasks that fail at the same time are one WrappedFailure."""
    barrier = threading.Barrier(2)

    class Both(Fail):
        def execute(self):
            barrier.wait(20)
            return super().execute()

    flow = unordered_flow.Flow("f").add(Both("a", notes), Both("b", notes))
    engine = load(flow, executor="threads", max_workers=2)
    with pytest.raises(exceptions.WrappedFailure) as caught:
        engine.run()
    assert sorted(failure.exception_str for failure in caught.value) == ["a", "b"]
    assert states_of(engine) == dict.fromkeys("ab", states.REVERTED)


def test_never_resolve(load, notes):
    """Nothing is reverted; the run ends in FAILURE with what was raised."""
    engine = load(line(Note("a", notes), Fail("b", notes)), never_resolve=True)
    with pytest.raises(OSError, match="b"):
        engine.run()
    assert notes == ["a", "b"]
    assert engine.storage.get_flow_state() == states.FAILURE
    assert states_of(engine) == {"a": states.SUCCESS, "b": states.FAILURE}


def test_a_result_that_cannot_be_stored_fails_its_task(load, notes):
    """The error names the path, and the flow is reverted."""
    flow = line(Note("a", notes), Call("b", lambda: {"x": [object()]}))
    engine = load(flow)
    with pytest.raises(ValueRefused, match=r"\$\['x'\]\[0\]"):
        engine.run()
    assert notes == ["a", "-a"]
    assert engine.storage.get_flow_state() == states.REVERTED


def test_what_post_execute_raises_ends_the_run(load, notes):
    """As in TaskFlow it is not the task's failure: the run ends in FAILURE."""

    class After(Note):
        def post_execute(self):
            raise LookupError("after")

    flow = line(Note("a", notes), After("b", notes))
    engine = load(flow)
    with pytest.raises(LookupError, match="after"):
        engine.run()
    assert engine.storage.get_flow_state() == states.FAILURE
    assert notes == ["a", "b"]


def test_a_wide_flow_that_fails(load, notes):
    """Hundreds of tasks are reverted, each once, after the one that failed."""
    wide = unordered_flow.Flow("w").add(*[Note(f"t{n}", notes) for n in range(300)])
    engine = load(line(Note("first", notes), wide, Fail("last", notes)))
    with pytest.raises(OSError, match="last"):
        engine.run()
    assert (notes[302], notes[-1]) == ("-last", "-first")
    assert len(notes) == len(set(notes)) == 2 * 302
