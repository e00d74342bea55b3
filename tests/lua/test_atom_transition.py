"""atom_transition: edits of an atom that nobody holds, and compare and set."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def atoms(flow):
    """Return a flow with the atoms a and b, and no run."""
    flow.create()
    flow.ensure("a", "b")
    return flow


def test_state_and_intention_are_set_and_journaled(atoms):
    """MOVED: the atom, the changes and the journal agree."""
    reply = atoms.on(
        "a", "atom_transition", state="SUCCESS", intention="IGNORE", who="me"
    )

    assert reply == ["MOVED", "PENDING", 3, 4]
    assert (
        atoms.atom("a").items()
        >= {
            "state": "SUCCESS",
            "intention": "IGNORE",
            "rev": "4",
        }.items()
    )
    (entry,) = atoms.journal(since=3)
    assert (
        entry.items()
        >= {
            "atom": "a-uuid",
            "from": "PENDING",
            "to": "SUCCESS",
            "intention": "IGNORE",
            "worker": "me",
        }.items()
    )
    assert broken_rules(atoms) == []


def test_intention_alone_leaves_the_state(atoms):
    """MOVED: an empty state is no state."""
    assert atoms.on("a", "atom_transition", intention="REVERT")[:2] == [
        "MOVED",
        "PENDING",
    ]
    assert atoms.atom("a")["state"] == "PENDING"
    assert atoms.atom("a")["intention"] == "REVERT"


def test_repeated_request_finds_it_done(atoms):
    """SAME: nothing is changed by the second sending."""
    atoms.on("a", "atom_transition", state="SUCCESS")
    before = atoms.contents()

    assert atoms.on("a", "atom_transition", state="SUCCESS") == ["SAME", "SUCCESS"]
    assert atoms.contents() == before


def test_expected_state_decides(atoms):
    """OTHER: exactly one of two callers that expect the same state moves the atom."""
    asked = {"state": "RUNNING", "expected": "PENDING"}
    assert atoms.on("a", "atom_transition", **asked)[0] == "MOVED"
    before = atoms.contents()

    assert atoms.on("a", "atom_transition", **asked) == ["OTHER", "RUNNING"]
    assert atoms.contents() == before


def test_checked_transition_that_taskflow_forbids_is_refused(atoms):
    """INVALID: only where the caller asks for the check; nothing is changed."""
    before = atoms.contents()

    assert atoms.on("a", "atom_transition", state="SUCCESS", checked=1) == [
        "INVALID",
        "PENDING",
    ]
    assert atoms.contents() == before
    assert atoms.on("a", "atom_transition", state="RUNNING", checked=1)[0] == "MOVED"


def test_held_atom_is_not_edited(flow):
    """HELD: the owner is named, and nothing is changed."""
    flow.line("a").start()
    flow.take()
    before = flow.contents()

    assert flow.on("a", "atom_transition", state="SUCCESS") == ["HELD", "w1"]
    assert flow.contents() == before


def test_atom_that_does_not_exist_is_unknown(atoms):
    """UNKNOWN: no record is made."""
    before = atoms.contents()

    assert atoms.on("c", "atom_transition", state="SUCCESS") == ["UNKNOWN"]
    assert atoms.contents() == before


def test_running_flow_counts_anew_after_an_edit(flow):
    """What it held back is offered once the plan is through; one idler is woken."""
    flow.line("a", "b", "c").start("w1")
    flow.start("w2")
    flow.start("w3")
    item = flow.take("w1").item
    flow.complete(item)
    held = flow.take("w1").item
    flow.take("w2")
    flow.take("w3")

    reply = flow.on("c", "atom_transition", state="SUCCESS")

    assert (reply[0], list(flow.hints())) == ("MOVED", ["w2"])
    assert flow.take("w1", holding=[held]).next == "PLAN"
    flow.step()
    assert flow.hash("missing") == {"3": "1", "4": "1"}
    flow.complete(held)
    assert flow.drive() == ["SUCCESS"]
    assert broken_rules(flow) == []


def test_edit_back_to_pending_holds_successors_back_again(flow):
    """B was ready, and has to wait for a once more."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    assert flow.members("ready") == ["00000002:execute"]

    flow.on("a", "atom_transition", state="PENDING")
    flow.step()

    assert flow.drive() == ["execute a", "execute b", "SUCCESS"]
    assert flow.atom("a")["round"] == "2"


def test_atom_left_half_way_does_not_release_others_too_early(flow):
    """Though b is finished, c waits for a that waits again, and only once."""
    flow.line("a", "b", "c").start("w1")
    flow.start("w2")
    flow.complete(flow.take().item)
    flow.take("w2")
    flow.leave("w2")
    flow.on("a", "atom_transition", state="PENDING")
    flow.step()
    items = flow.take(capacity=2).items
    assert [str(item) for item in items] == ["execute a", "execute b"]

    flow.complete(items[1])
    assert flow.members("ready") == []
    flow.complete(items[0])

    assert flow.members("ready") == ["00000003:execute"]
    assert flow.drive() == ["execute c", "SUCCESS"]


def test_what_was_asked_for_again_is_not_done_again(atoms):
    """MOVED with the revisions of then, whatever has become of the atom since."""
    known = atoms.rev
    first = atoms.on("a", "atom_transition", state="IGNORE", checked=1, who="p/1")
    for number in range(150):
        intention = ("REVERT", "EXECUTE")[number % 2]
        atoms.on("b", "atom_transition", intention=intention, who="p/2")
    atoms.on("a", "atom_transition", state="PENDING", who="q/1")
    before = atoms.contents()

    atoms.sent = "p 2 2"
    again = atoms.on(
        "a", "atom_transition", state="IGNORE", checked=1, who="p/1", since=known
    )
    atoms.client.execute("HDEL", atoms.keys.lock, "void")

    assert again == first
    assert atoms.contents() == before


@pytest.mark.parametrize(("who", "ahead"), [("q/1", 0), ("p/1", 1)])
def test_what_was_asked_for_again_and_not_done_is_done(atoms, who, ahead):
    """MOVED anew: that it moved so before was another's doing, or another request."""
    known = atoms.rev + ahead
    atoms.on("a", "atom_transition", state="IGNORE", who="p/1")
    atoms.on("a", "atom_transition", state="PENDING", who="r/1")

    atoms.sent = "p 2 2"
    again = atoms.on("a", "atom_transition", state="IGNORE", who=who, since=known)

    assert again[:2] == ["MOVED", "PENDING"]
    assert atoms.atom("a")["state"] == "IGNORE"
