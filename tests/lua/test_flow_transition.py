"""flow_transition: compare and set of a flow's state."""

from __future__ import annotations

import pytest


def test_allowed_transition_is_made_and_journaled(flow):
    """MOVED: state, revision and journal change together."""
    flow.create()

    assert flow.call("flow_transition", to="RUNNING", who="me") == [
        "MOVED",
        "PENDING",
        2,
    ]
    assert flow.hash("flow").items() >= {"state": "RUNNING", "rev": "2"}.items()
    (entry,) = flow.journal(since=1)
    assert (
        entry.items()
        >= {
            "rev": "2",
            "atom": "",
            "from": "PENDING",
            "to": "RUNNING",
            "worker": "me",
        }.items()
    )


def test_second_of_two_equal_requests_is_ignored(flow):
    """IGNORED: one of two callers moves the flow, the other learns the state."""
    flow.create()
    flow.call("flow_transition", to="RUNNING")
    before = flow.contents()

    assert flow.call("flow_transition", to="RUNNING") == ["IGNORED", "RUNNING"]
    assert flow.contents() == before


def test_transition_that_taskflow_forbids_is_refused(flow):
    """INVALID: the state is told, and nothing is changed."""
    flow.create()
    before = flow.contents()

    assert flow.call("flow_transition", to="SUCCESS") == ["INVALID", "PENDING"]
    assert flow.contents() == before


def test_idle_workers_hear_of_a_suspend(flow):
    """Workers that wait have a hint, once, and wait no longer."""
    flow.line("a").start("w1")
    flow.start("w2")
    flow.take("w1")
    flow.take("w2")

    reply = flow.call("flow_transition", to="SUSPENDING")

    assert (reply[0], flow.hints()) == ("MOVED", {"w2": ["look"]})
    assert flow.members("idle") == []


@pytest.mark.parametrize("to", ["PENDING", "FAILURE", "RESUMING"])
def test_state_of_a_flow_that_nobody_runs_is_forced(flow, to):
    """MOVED: from any state to any other, and IGNORED when sent again."""
    flow.create(state="SUCCESS")
    assert flow.call("flow_transition", to=to, forced=1, who="me") == [
        *("MOVED", "SUCCESS", 2),
    ]
    (entry,) = flow.journal(since=1)
    assert (entry["from"], entry["to"], entry["worker"]) == ("SUCCESS", to, "me")
    before = flow.contents()

    assert flow.call("flow_transition", to=to, forced=1) == ["IGNORED", to]
    assert flow.contents() == before


def test_state_of_a_flow_that_workers_run_is_not_forced(flow):
    """HELD with their number, and nothing changes, until their leases are over."""
    flow.line("a").start("w1")
    flow.start("w2")
    before = flow.contents()

    for to in ("PENDING", "RUNNING"):
        assert flow.call("flow_transition", to=to, forced=1) == ["HELD", 2]
    assert flow.contents() == before

    flow.lapse("w1")
    assert flow.call("flow_transition", to="PENDING", forced=1) == ["HELD", 1]
    flow.lapse("w2")
    assert flow.call("flow_transition", to="PENDING", forced=1)[0] == "MOVED"
    assert flow.state == "PENDING"


def test_what_was_asked_for_again_is_not_done_again(flow):
    """MOVED with the state and the revision of then."""
    flow.create()
    known = flow.rev
    first = flow.call("flow_transition", to="RUNNING", who="p/1")
    flow.call("flow_transition", to="SUSPENDING", who="q/1")
    before = flow.contents()

    flow.sent = "p 2 2"
    assert flow.call("flow_transition", to="RUNNING", who="p/1", since=known) == first
    flow.client.execute("HDEL", flow.keys.lock, "void")
    assert flow.contents() == before
    other = flow.call("flow_transition", to="RUNNING", who="r/1", since=known)
    assert other[0] != "MOVED"
