"""atom_save: a task's result from outside the engine; the first one of a round wins."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def atoms(flow):
    """Return a flow with the atom a, and no run."""
    flow.create()
    flow.ensure("a")
    return flow


def save(flow, state, payload, writer="me"):
    """Save a result of a."""
    return flow.on("a", "atom_save", state=state, payload=payload, writer=writer)


def test_result_and_state_are_recorded_together(atoms):
    """OK: a person reads the state in the atom, and the value beside it."""
    assert save(atoms, "SUCCESS", "42") == ["OK", "PENDING", 2, 3]

    assert (
        atoms.atom("a").items()
        >= {
            "state": "SUCCESS",
            "writer": "me",
            "failed": "",
            "rev": "3",
        }.items()
    )
    assert atoms.result("a") == {"results": "42"}
    assert broken_rules(atoms) == []


def test_first_writer_wins(atoms):
    """STALE: another one is told who was first, and nothing is changed."""
    save(atoms, "SUCCESS", "1")
    before = atoms.contents()

    assert save(atoms, "SUCCESS", "2", writer="you") == ["STALE", "me"]
    assert save(atoms, "FAILURE", "2", writer="you") == ["STALE", "me"]
    assert atoms.contents() == before


def test_writer_may_replace_its_own_result(atoms):
    """OK: the same Storage saves again, as in TaskFlow, as often as it likes."""
    save(atoms, "SUCCESS", "1")

    assert save(atoms, "SUCCESS", "2")[:2] == ["OK", "SUCCESS"]
    assert save(atoms, "SUCCESS", "2")[:2] == ["OK", "SUCCESS"]
    assert atoms.result("a") == {"results": "2"}


def test_held_atom_takes_no_result_from_outside(flow):
    """STALE: its owner is named, and nothing is changed."""
    flow.line("a").start()
    flow.take()
    before = flow.contents()

    assert save(flow, "SUCCESS", "1") == ["STALE", "w1"]
    assert flow.contents() == before


def test_new_round_is_open_to_every_writer(atoms):
    """OK: after a reset the first one wins again, whoever it is."""
    save(atoms, "SUCCESS", "1")
    atoms.on("a", "atom_reset", state="PENDING")

    assert save(atoms, "SUCCESS", "2", writer="you")[0] == "OK"
    assert atoms.atom("a")["writer"] == "you"


def test_revert_results_stand_beside_what_was_executed(atoms):
    """Each state keeps and drops what TaskFlow's own details keep and drop."""
    seen = {}
    for state in ("SUCCESS", "FAILURE", "REVERTED", "REVERT_FAILURE", "SUCCESS"):
        save(atoms, state, f'"{state}"')
        seen[state] = (set(atoms.result("a")), atoms.atom("a")["failed"])

    assert seen["FAILURE"][0] == {"failure"}
    assert seen["REVERTED"][0] == {"failure", "revert_results"}
    assert seen["REVERT_FAILURE"][0] == {"failure", "revert_failure"}
    assert seen["SUCCESS"] == ({"results"}, "")
    assert "E" in seen["FAILURE"][1]
    assert set("ER") <= set(seen["REVERT_FAILURE"][1])


def test_atom_that_does_not_exist_is_unknown(atoms):
    """UNKNOWN: no record is made."""
    before = atoms.contents()

    reply = atoms.on("c", "atom_save", state="SUCCESS", payload="1", writer="me")

    assert reply == ["UNKNOWN"]
    assert atoms.contents() == before


def test_running_flow_goes_on_from_a_saved_result(flow):
    """What is derived follows: the next atom is offered."""
    flow.line("a", "b").start()

    save(flow, "SUCCESS", "1")
    flow.step()

    assert flow.drive() == ["execute b", "SUCCESS"]
    assert broken_rules(flow) == []


def test_what_was_asked_for_again_is_not_done_again(atoms):
    """OK with the state and the revisions of then, and what came since stays."""
    known = atoms.rev
    asked = {"state": "SUCCESS", "payload": "1", "writer": "me", "who": "me/1"}
    first = atoms.on("a", "atom_save", **asked)
    atoms.on("a", "atom_reset", state="PENDING")
    before = atoms.contents()

    atoms.sent = "p 2 2"
    assert atoms.on("a", "atom_save", **asked, since=known) == first
    atoms.client.execute("HDEL", atoms.keys.lock, "void")
    assert atoms.contents() == before
