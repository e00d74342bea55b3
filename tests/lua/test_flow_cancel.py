"""flow_cancel: all that a run has done is to be reverted."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def running(flow):
    """Return a flow a -> b -> c that runs; a is done, and b is held."""
    flow.line("a", "b", "c").start("w1")
    flow.complete(flow.take("w1").item)
    return flow, flow.take("w1").item


def cancel(flow, reason="why", **args):
    """Ask for it."""
    return flow.call("flow_cancel", who="me", reason=reason, **args)


def test_everything_is_to_be_reverted(running):
    """OK: a plan does it; what is held ends first, and no atom begins."""
    flow, item = running
    rev = flow.rev

    assert cancel(flow) == ["OK", rev, rev + 2]

    fields = flow.hash("flow")
    assert (fields["cancelled"], fields["reverting"]) == ("me why", "1")
    assert flow.hash("plan")["phases"] == "mark,backward"
    flow.step()
    assert {name: flow.atom(name)["intention"] for name in "abc"} == dict.fromkeys(
        "abc", "REVERT"
    )
    assert flow.members("ready") == []
    assert broken_rules(flow) == []
    flow.complete(item)
    assert flow.drive() == ["revert b", "revert a", "REVERTED"]


def test_second_request_changes_nothing(running):
    """SAME: the first one's reason stays, whether its plan is done or not."""
    flow, _item = running
    cancel(flow)
    before = flow.contents()

    assert cancel(flow, "another") == ["SAME"]
    assert flow.contents() == before
    flow.step()
    before = flow.contents()
    assert cancel(flow, "another") == ["SAME"]
    assert flow.contents() == before


def test_another_plan_comes_first(flow):
    """PLAN: what was begun is carried on before this is set out."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item)
    before = flow.contents()

    assert cancel(flow) == ["PLAN"]
    assert flow.contents() == before
    flow.step()
    assert cancel(flow)[0] == "OK"
    flow.step()
    assert flow.drive() == ["revert b", "revert a", "REVERTED"]


def test_run_that_has_not_begun(flow):
    """IDLE: nothing is there to be reverted."""
    flow.line("a").create()
    before = flow.contents()

    assert cancel(flow) == ["IDLE", "PENDING"]
    assert flow.contents() == before


def test_run_that_is_over(flow):
    """ENDED: its outcome stays."""
    flow.line("a").start()
    flow.drive()
    before = flow.contents()

    assert cancel(flow) == ["ENDED", "SUCCESS"]
    assert flow.contents() == before


def test_suspended_flow_is_marked_for_its_next_run(running):
    """OK: nothing is made ready before somebody runs it again."""
    flow, item = running
    flow.call("flow_transition", to="SUSPENDING")
    flow.complete(item)
    flow.drive()
    assert flow.state == "SUSPENDED"

    assert cancel(flow)[0] == "OK"
    flow.step()
    assert flow.members("ready") == []
    assert {flow.atom(name)["intention"] for name in "abc"} == {"REVERT"}

    flow.start(run=2)
    assert flow.drive(run=2) == ["revert b", "revert a", "REVERTED"]


def test_next_run_of_a_reverted_flow_is_not_cancelled(running):
    """What was asked for is forgotten once all atoms are put back."""
    flow, item = running
    cancel(flow)
    flow.step()
    flow.complete(item)
    flow.drive()

    flow.start(run=2)

    assert "cancelled" not in flow.hash("flow")


def test_a_later_run_is_cancelled_anew(running):
    """OK: what was asked of one run, which could not be undone, ends with it."""
    flow, item = running
    cancel(flow)
    flow.step()
    flow.complete(item)
    assert flow.drive(outcomes={"revert b": "REVERT_FAILURE"})[-1] == "FAILURE"
    assert flow.start("w1", run=2) == ["READY"]

    assert cancel(flow, "again", run=2)[0] == "OK"
    flow.step()

    assert flow.hash("flow")["cancelled"] == "me again"
    assert broken_rules(flow) == []


def test_what_begins_anew_is_not_cancelled(running):
    """A run from the beginning has nothing of the one before it."""
    flow, item = running
    cancel(flow)
    flow.step()
    flow.complete(item)
    flow.drive()

    flow.start("w1", run=2)

    assert not {"cancelled", "cancelled_run"} & flow.hash("flow").keys()
