"""flow_halt: a failure that belongs to no atom ends the run."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


def halt(flow, payload='"why"', run=1):
    """End a run for a failure."""
    return flow.call("flow_halt", run=run, payload=payload)


def test_nothing_more_is_handed_out_and_the_run_ends_in_failure(flow):
    """OK: the reason is in the flow, atoms and ready items stay as they are."""
    flow.fan("a", "b").start()
    rev, journal, ready = flow.rev, flow.journal(), flow.members("ready")

    assert halt(flow) == ["OK", rev, rev + 1]

    assert flow.hash("flow").items() >= {"halt": "1", "halt:1": '"why"'}.items()
    assert (flow.rev, flow.state) == (rev + 1, "RUNNING")
    assert (flow.journal(), flow.members("ready")) == (journal, ready)
    assert flow.states() == {"a": "PENDING", "b": "PENDING"}
    assert broken_rules(flow) == []
    assert flow.drive(capacity=5) == ["FAILURE"]
    assert flow.hash("flow")["outcome:1"] == "FAILURE"


def test_what_is_held_drains_first(flow):
    """OK: claims stay, results are recorded, and then only finish is left."""
    flow.fan("a", "b").start()
    item = flow.take().item

    assert halt(flow)[0] == "OK"

    assert flow.claims() == {item.id: "w1"}
    assert flow.complete(item, capacity=1).what == ["finish"]
    assert flow.states() == {"a": "SUCCESS", "b": "PENDING"}
    assert flow.drive() == ["FAILURE"]


def test_repeated_halt_is_counted_once(flow):
    """SAME: the request sent again changes nothing, even after another reason."""
    flow.line("a").start()
    halt(flow, '"one"')
    halt(flow, '"two"')
    before = flow.contents()

    for payload in ('"one"', '"two"'):
        assert halt(flow, payload) == ["SAME"]
    assert flow.contents() == before
    reasons = {"halt": "2", "halt:1": '"one"', "halt:2": '"two"'}
    assert flow.hash("flow").items() >= reasons.items()


@pytest.mark.parametrize("run", [1, 2, 3])
def test_run_that_is_over_or_not_yet_on_is_not_halted(flow, run):
    """ENDED: who comes too late, or belongs to another run, changes nothing."""
    flow.line("a").start()
    flow.call("flow_transition", to="SUSPENDING")
    flow.drive()
    if run != 2:
        flow.start("w1", run=2)
    before = flow.contents()

    assert halt(flow, run=run) == ["ENDED"]
    assert flow.contents() == before


def test_next_run_forgets_the_reason(flow):
    """The run after goes on as if nothing had been in its way."""
    flow.line("a").start()
    halt(flow)
    flow.drive()

    assert flow.start("w1", run=2) == ["READY"]

    assert "halt:1" not in flow.hash("flow")
    assert flow.drive(run=2) == ["execute a", "SUCCESS"]
