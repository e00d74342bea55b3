"""worker_leave: what a worker holds goes back, without cost."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def test_items_are_ready_again_without_cost(flow):
    """OK: the atom keeps its state and its attempt, and has no owner."""
    flow.line("a").start("w1")
    flow.start("w2")
    flow.take("w1")

    assert flow.leave("w1") == ["OK", 1, 0]

    assert (
        flow.atom("a").items()
        >= {
            "state": "RUNNING",
            "owner": "",
            "attempt": "0",
            "round": "1",
        }.items()
    )
    assert flow.members("ready") == ["00000001:execute"]
    assert flow.members("workers") == ["w2"]
    assert flow.claims() == {}
    assert broken_rules(flow) == []
    again = flow.take("w2").item
    assert (again.round, again.attempt, again.old_state) == (1, 0, "RUNNING")


def test_repeated_goodbye_finds_nothing(flow):
    """OK 0: the second sending changes nothing."""
    flow.line("a").start("w1")
    flow.take()
    flow.leave("w1")
    before = flow.contents()

    assert flow.leave("w1") == ["OK", 0, 0]
    assert flow.contents() == before


def test_idle_worker_that_leaves_is_not_woken(flow):
    """It is idle no longer, and others are woken for what it held."""
    flow.line("a").start("w1")
    flow.start("w2")
    flow.take("w1")
    flow.take("w2")

    assert flow.leave("w1") == ["OK", 1, 0]
    assert list(flow.hints()) == ["w2"]
    flow.take("w2", holding=flow.take("w2").items)
    flow.leave("w2")

    assert flow.members("idle") == []
    assert flow.members("workers") == []


def test_many_items_go_back_in_bounded_parts(flow):
    """While more is 1 the worker stays a member until all is given back."""
    names = [f"t{number}" for number in range(250)]
    flow.fan(*names).start("w1")
    flow.take(capacity=199, holding=flow.take(capacity=199).items)
    held = len(flow.claims())
    assert held > 200

    status, taken, more = flow.leave("w1")
    assert (status, more) == ("OK", 1)
    assert flow.members("workers") == ["w1"]
    rest = flow.leave("w1")

    assert taken + rest[1] == held
    assert rest[2] == 0
    assert len(flow.members("ready")) == 250
    assert broken_rules(flow) == []


def test_finish_and_resolve_go_back_too(flow):
    """Another worker gets them: a flow is never stuck on who does what next."""
    flow.line("a").start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item, "FAILURE")
    flow.take("w1")
    flow.leave("w1")

    resolve = flow.take("w2").item
    assert resolve.kind == "resolve"
    flow.resolve(resolve, "w2")
    flow.step("w2")
    flow.complete(flow.take("w2").item, "REVERTED", worker="w2", capacity=1)
    assert flow.claims() == {"finish": "w2"}
    flow.start("w3")
    flow.leave("w2")

    assert flow.drive("w3") == ["REVERTED"]


def test_atom_that_is_to_be_reverted_goes_back_as_a_revert(flow):
    """RUNNING with the intention REVERT is reverted, not run again."""
    flow.fan("a", "b").start("w1")
    flow.start("w2")
    failing = flow.take("w1").item
    flow.take("w2")
    flow.complete(failing, "FAILURE")
    flow.resolve(flow.take("w1").item)
    flow.step()

    flow.leave("w2")

    assert set(flow.members("ready")) == {"00000001:revert", "00000002:revert"}
    assert sorted(flow.drive("w1")) == ["REVERTED", "revert a", "revert b"]
