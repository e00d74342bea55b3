"""atom_reset: an atom goes back to a state, without its results."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def failed(flow):
    """Return a flow whose atom a has failed, outside any run."""
    flow.create()
    flow.ensure("a")
    flow.on("a", "atom_save", state="FAILURE", payload='"why"', writer="me")
    flow.on("a", "atom_transition", intention="REVERT")
    return flow


def test_state_intention_and_results_are_reset(failed):
    """MOVED: nothing tells of the failure but the journal."""
    rev = failed.rev

    reply = failed.on("a", "atom_reset", state="PENDING")

    assert reply == ["MOVED", "FAILURE", rev, rev + 1]
    atom = failed.atom("a")
    assert (atom["state"], atom["intention"]) == ("PENDING", "EXECUTE")
    assert atom["failed"] == ""
    assert failed.result("a") == {}
    assert broken_rules(failed) == []


def test_repeated_reset_finds_it_done(failed):
    """SAME: nothing is changed by the second sending."""
    failed.on("a", "atom_reset", state="PENDING")
    before = failed.contents()

    assert failed.on("a", "atom_reset", state="PENDING") == ["SAME", "PENDING"]
    assert failed.contents() == before


def test_held_atom_is_not_reset(flow):
    """HELD: the owner is named, and nothing is changed."""
    flow.line("a").start()
    flow.take()
    before = flow.contents()

    assert flow.on("a", "atom_reset", state="PENDING") == ["HELD", "w1"]
    assert flow.contents() == before


def test_atom_that_does_not_exist_is_unknown(failed):
    """UNKNOWN: no record is made."""
    before = failed.contents()

    assert failed.on("c", "atom_reset", state="PENDING") == ["UNKNOWN"]
    assert failed.contents() == before


def test_running_flow_executes_it_again(flow):
    """What is derived follows: the atom runs once more before what follows it."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item, payload="1")

    flow.on("a", "atom_reset", state="PENDING")
    flow.step()

    assert flow.result("a") == {}
    assert flow.drive() == ["execute a", "execute b", "SUCCESS"]


def test_what_was_asked_for_again_is_not_done_again(failed):
    """MOVED with the state and the revisions of then, and what came since stays."""
    known = failed.rev
    first = failed.on("a", "atom_reset", state="PENDING", who="p/1")
    failed.on("a", "atom_save", state="SUCCESS", payload="1", writer="you")
    before = failed.contents()

    failed.sent = "p 2 2"
    again = failed.on("a", "atom_reset", state="PENDING", who="p/1", since=known)

    assert again == first
    failed.client.execute("HDEL", failed.keys.lock, "void")
    assert failed.contents() == before
