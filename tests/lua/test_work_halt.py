"""work_halt: an item that cannot be begun ends the run."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def test_item_goes_back_and_the_run_ends_in_failure(flow):
    """OK: the atom has no owner, the reason is in the flow, and only finish is left."""
    flow.fan("a", "b").start()
    item = flow.take().item
    rev = flow.rev

    assert flow.halt(item, payload='"why"') == ["OK", rev, rev + 1]

    assert flow.atom("a").items() >= {"state": "RUNNING", "owner": ""}.items()
    assert flow.hash("flow").items() >= {"halt": "1", "halt:1": '"why"'}.items()
    assert flow.claims() == {}
    assert broken_rules(flow) == []
    assert flow.drive(capacity=5) == ["FAILURE"]
    assert flow.hash("flow")["outcome:1"] == "FAILURE"


def test_repeated_halt_is_stale(flow):
    """STALE: the reason is counted once."""
    flow.line("a").start()
    item = flow.take().item
    flow.halt(item)
    before = flow.contents()

    assert flow.halt(item) == ["STALE"]
    assert flow.contents() == before


def test_late_halt_is_stale(flow):
    """STALE: a worker that lost the item cannot end the run for it."""
    flow.line("a").start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    flow.sweep(dead="w1")
    flow.take("w2")
    before = flow.contents()

    assert flow.halt(item, "w1") == ["STALE"]
    assert flow.contents() == before


def test_what_is_held_drains_before_the_end(flow):
    """The other worker's result is recorded, then it ends; all reasons are kept."""
    flow.fan("a", "b", "c").start("w1")
    flow.start("w2")
    first = flow.take("w1").item
    second, third = flow.take("w2", capacity=2).items
    flow.halt(first, "w1", '"one"')
    assert flow.take("w1").items == []
    flow.halt(third, "w2", '"two"')

    assert flow.complete(second, worker="w2", capacity=1).what == ["finish"]

    assert flow.drive("w2") == ["FAILURE"]
    assert (
        flow.hash("flow").items()
        >= {
            "halt": "2",
            "halt:1": '"one"',
            "halt:2": '"two"',
        }.items()
    )
    assert flow.states()["b"] == "SUCCESS"


def test_decision_that_raises_opens_the_barrier(flow):
    """Halting on a resolve item leaves the atom as it failed."""
    flow.line("a").start()
    flow.complete(flow.take().item, "FAILURE")
    item = flow.take().item
    rev = flow.rev

    assert flow.halt(item) == ["OK", rev, rev + 1]

    assert flow.rev == rev + 1
    assert flow.hash("flow")["resolving"] == ""
    assert flow.atom("a")["state"] == "FAILURE"
    assert flow.drive() == ["FAILURE"]


def test_next_run_takes_the_item_up_again(flow):
    """The atom was left half-way: the next run executes it first."""
    flow.line("a", "b").start()
    flow.halt(flow.take().item)
    flow.drive()

    assert flow.start("w1", run=2) == ["READY"]

    assert flow.drive(run=2) == ["execute a", "execute b", "SUCCESS"]


def test_deciders_that_raise_leave_the_atom_as_it_was(flow):
    """OK: it is PENDING without an owner, and the next run asks again."""
    flow.line("a").ask("a").start()
    item = flow.take().item

    assert flow.halt(item)[0] == "OK"

    assert flow.atom("a").items() >= {"state": "PENDING", "owner": ""}.items()
    assert broken_rules(flow) == []
    assert flow.drive() == ["FAILURE"]
    assert flow.start("w1", run=2) == ["READY"]
    assert flow.drive(run=2) == ["decide a", "execute a", "SUCCESS"]
