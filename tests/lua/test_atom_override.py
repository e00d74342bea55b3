"""atom_override: an operator's result, whatever the task has."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def override(flow, name, state="SUCCESS", payload='"by hand"'):
    """Give a task a result."""
    return flow.on(name, "atom_override", state=state, payload=payload)


def test_result_is_there_and_the_old_one_is_kept(flow):
    """OK: the state before is told, and what it had stands beside it."""
    flow.line("a", "b").start()
    flow.drive()
    rev = flow.rev
    old = flow.result("a")["results"]

    assert override(flow, "a") == ["OK", "SUCCESS", rev + 2]

    assert flow.result("a") == {
        "results": '"by hand"',
        f"replaced:{rev + 2}": old,
    }
    assert broken_rules(flow) == []


def test_what_waits_for_it_becomes_ready(flow):
    """OK: a pending task that has its result lets the next one begin."""
    flow.line("a", "b").start()

    assert override(flow, "a")[:2] == ["OK", "PENDING"]
    flow.step()

    assert "00000002:execute" in flow.members("ready")
    assert broken_rules(flow) == []
    assert flow.drive() == ["execute b", "SUCCESS"]


def test_sent_again_it_changes_nothing(flow):
    """OK: the same result is there already."""
    flow.line("a").start()
    override(flow, "a")
    assert override(flow, "a") == ["PLAN"]  # what follows from the first comes first
    flow.step()
    before = flow.contents()

    assert override(flow, "a")[0] == "OK"
    assert flow.contents() == before


def test_failure_that_is_being_decided_is_left_alone(flow):
    """RESOLVING: what it means for all others may have been decided by now."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item, "FAILURE")
    item = flow.take().item
    before = flow.contents()
    assert override(flow, "a") == ["RESOLVING"]
    assert flow.contents() == before
    flow.resolve(item)
    flow.step()
    assert override(flow, "a") == ["REVERTS"]


def test_result_is_given_before_a_failure_is_decided(flow):
    """OK: then nothing is left to be decided, and what waits for it begins."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item, "FAILURE")
    assert override(flow, "a")[:2] == ["OK", "FAILURE"]
    flow.step()
    assert flow.drive() == ["execute b", "SUCCESS"]
    assert broken_rules(flow) == []


def test_nothing_is_given_in_a_run_that_is_reverted(flow):
    """REVERTS: it would stay where all around it goes, or go with it."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()
    assert override(flow, "a") == ["REVERTS"]
    flow.drive()
    assert flow.state == "REVERTED"
    assert override(flow, "b") == ["REVERTS"]


def test_what_is_held_is_left_to_its_worker(flow):
    """HELD: who holds it is told; UNKNOWN: there is no such task."""
    flow.line("a").start()
    flow.take()
    before = flow.contents()

    assert override(flow, "a") == ["HELD", "w1"]
    assert override(flow, "nobody") == ["UNKNOWN"]
    assert flow.contents() == before


def test_failure_is_given_while_nobody_is_at_work(flow):
    """LIVE: while workers live; then the next run decides what it means."""
    flow.line("a", "b").start()
    assert override(flow, "a", "FAILURE", '"no"') == ["LIVE", 1]
    flow.call("flow_transition", to="SUSPENDING")
    flow.drive()

    assert override(flow, "a", "FAILURE", '"no"')[:2] == ["OK", "PENDING"]

    assert broken_rules(flow) == []
    flow.start("w1", run=2)
    assert flow.drive(run=2)[0] == "resolve a"


def test_what_was_asked_for_again_is_not_done_again(flow):
    """OK as it was then, and what others have given it since stays."""
    flow.line("a").start()
    known = flow.rev
    asked = {"state": "SUCCESS", "payload": '"one"', "who": "operator/1"}
    first = flow.on("a", "atom_override", **asked, since=known)
    flow.step()
    override(flow, "a", payload='"two"')
    before = flow.contents()

    flow.sent = "p 2 2"
    assert flow.on("a", "atom_override", **asked, since=known) == first

    flow.client.execute("HDEL", flow.keys.lock, "void")
    assert flow.contents() == before
