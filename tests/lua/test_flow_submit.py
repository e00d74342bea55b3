"""flow_submit: values for a flow and the mark that leaves it to workers, at once."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules
from tests.support.flows import submitted
from tests.support.kept_flows import ended


@pytest.fixture
def idle(flow):
    """Return a flow that was created, and nothing more."""
    flow.line("a").create()
    return flow


@pytest.fixture
def over(flow):
    """Return a flow whose first run, which was submitted, is over."""
    flow.line("a").create()
    submitted(flow, "r1")
    flow.start()
    assert flow.drive()[-1] == "SUCCESS"
    return flow


def values(flow):
    """Return the values that the flow was given."""
    return flow.result("inject")


def test_mark_and_values_come_together(idle):
    """OK: run 1 is submitted; all that makes the flow stands in its hash."""
    assert submitted(idle, "r1") == ["OK", 1]

    assert (
        idle.hash("flow").items()
        >= {
            "submitted": "1",
            "submitted:request": "r1",
            "submitted:factory": "m:f",
            "submitted:args": "[]",
            "submitted:kwargs": "{}",
            "submitted:options": "{}",
        }.items()
    )
    assert values(idle) == {"value:x": "1"}
    assert broken_rules(idle) == []


def test_flow_without_values_gets_no_injector(idle):
    """OK: nothing but the mark is written, in one revision."""
    rev = idle.rev

    assert submitted(idle, "r1", rest=[]) == ["OK", 1]
    assert idle.rev == rev + 1
    assert values(idle) == {}


def test_same_request_sent_again_does_nothing(over):
    """OK: a lost answer is given once more, whatever has become of the run."""
    before = over.contents()

    assert submitted(over, "r1", rerun=1) == ["OK", 1]
    assert over.contents() == before


def test_same_submission_is_noted_anew(idle):
    """OK: a second one changes the request alone, by which workers know of it."""
    submitted(idle, "r1")

    assert submitted(idle, "r2") == ["OK", 1]
    assert idle.hash("flow")["submitted:request"] == "r2"


@pytest.mark.parametrize("what", ["factory", "args", "kwargs", "options"])
def test_other_submission_is_refused_with_what_was_stored(idle, what):
    """DIFFERS: nothing changes, values neither."""
    submitted(idle, "r1")
    before = idle.contents()

    found = submitted(idle, "r2", rest=["y", "2"], rerun=1, **{what: "other"})
    assert found == ["DIFFERS", "m:f", "[]", "{}", "{}"]
    assert idle.contents() == before


def test_another_value_for_a_submitted_flow_is_refused(idle):
    """CONFLICT: the name is told; names that are new may come."""
    submitted(idle, "r1")
    before = idle.contents()

    assert submitted(idle, "r2", rest=["y", "1", "x", "2"]) == ["CONFLICT", "x"]
    assert idle.contents() == before
    assert submitted(idle, "r2", rest=["y", "1"]) == ["OK", 1]


def test_another_value_for_a_flow_that_others_run_is_refused(flow):
    """CONFLICT: workers use the value that it has; without one it is submitted."""
    flow.line("a").create()
    flow.on("inject", "value_inject", rest=["x", "1"], name="inject")
    flow.start()

    assert submitted(flow, "r1", rest=["x", "2"]) == ["CONFLICT", "x"]
    assert submitted(flow, "r1", rest=["y", "2"]) == ["OK", 1]


def test_run_that_is_over_stays_over(over):
    """ENDED: its number and outcome are told, and nothing changes."""
    before = over.contents()

    assert submitted(over, "r2") == ["ENDED", 1, "SUCCESS"]
    assert over.contents() == before
    assert submitted(over, "r2", args="[1]")[0] == "DIFFERS"


def test_run_that_is_over_starts_once_more_on_request(over):
    """OK: for the next run anything may be new; asked for twice it is one run."""
    assert submitted(over, "r2", rest=["x", "2"], rerun=1, args="[1]") == ["OK", 2]
    assert values(over) == {"value:x": "2"}
    assert submitted(over, "r3", rest=[], rerun=1, args="[1]") == ["OK", 2]
    assert submitted(over, "r4", rest=[], rerun=1)[0] == "DIFFERS"


def test_suspended_run_is_resumed(flow):
    """OK: the next run is submitted, without being asked to start once more."""
    flow.line("a", "b").create()
    submitted(flow, "r1")
    flow.start()
    flow.call("flow_transition", to="SUSPENDING")
    assert flow.drive() == ["SUSPENDED"]

    assert submitted(flow, "r2") == ["OK", 2]


def test_flow_that_is_to_go_is_kept_first(flow):
    """EXPIRES: nothing begins on keys that may be gone in a moment."""
    ended(flow, "a")
    before = flow.contents()
    assert submitted(flow, "again", rerun=1) == ["EXPIRES", 1]
    assert flow.contents() == before
