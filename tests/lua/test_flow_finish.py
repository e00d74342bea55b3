"""flow_finish: a run ends once, in the state that its atoms say."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def done(flow):
    """Return a flow whose atoms are all done, and the item finish."""
    flow.line("a").start("w1")
    flow.start("w2")
    return flow, flow.complete(flow.take("w1").item, capacity=1).item


def test_run_ends_and_everybody_is_told(done):
    """OK: outcome, journal, and nothing in the collections but their sentinels."""
    flow, item = done
    flow.take("w2")

    reply = flow.finish(item)

    assert reply[:3] == ["OK", "RUNNING", "SUCCESS"]
    assert list(flow.hints()) == ["w2"]  # whoever does it knows
    assert (
        flow.hash("flow").items()
        >= {
            "state": "SUCCESS",
            "ended": "1",
            "outcome:1": "SUCCESS",
        }.items()
    )
    for name in ("ready", "workers", "idle"):
        assert flow.members(name) == [], name
    for name in ("claims", "missing", "plan"):
        assert flow.hash(name) == {}, name
    assert flow.journal()[-1].items() >= {"from": "RUNNING", "to": "SUCCESS"}.items()
    assert broken_rules(flow) == []


def test_repeated_finish_finds_it_ended(done):
    """ENDED: a second sending, or another finisher, learns the state."""
    flow, item = done
    flow.finish(item)
    before = flow.contents()

    assert flow.finish(item) == ["ENDED", "SUCCESS"]
    assert flow.finish(item, "w2") == ["ENDED", "SUCCESS"]
    assert flow.contents() == before


def test_old_run_is_told_its_own_outcome(flow):
    """ENDED: run 1 ended otherwise than run 2 did."""
    flow.line("a").start()
    item = flow.take().item
    flow.halt(item)
    finish = flow.take().item
    flow.finish(finish)
    flow.start("w1", run=2)
    flow.drive(run=2)

    assert flow.finish(finish) == ["ENDED", "FAILURE"]


def test_outcomes_of_long_ago_are_forgotten(flow):
    """The flow's hash does not grow with each run: the last thousand are known."""
    flow.line("a").create()
    before = {f"outcome:{run}": "SUCCESS" for run in (1, 2, 3)}
    flow.client.execute("HSET", flow.keys.flow, "run", 1002, "ended", 1001)
    for name, state in before.items():
        flow.client.execute("HSET", flow.keys.flow, name, state)
    flow.start(run=1002)
    flow.drive(run=1002)

    found = {name for name in flow.hash("flow") if name.startswith("outcome:")}
    assert found == {"outcome:1", "outcome:3", "outcome:1002"}


def test_any_number_of_transient_values_is_forgotten(done):
    """There may be more than Lua hands to one command: the run ends all the same."""
    flow, item = done
    for worker in range(5):
        names = [f"v{worker}-{number}" for number in range(2000)]
        flow.call("value_note", rest=names)

    assert flow.finish(item)[:3] == ["OK", "RUNNING", "SUCCESS"]
    assert not [name for name in flow.hash("flow") if name.startswith("transient:")]
    assert broken_rules(flow) == []


def test_finisher_that_lost_its_claim_is_stale(done):
    """STALE: the run goes on with the one who holds the item now."""
    flow, item = done
    flow.sweep(dead="w1")
    again = flow.take("w2").item
    before = flow.contents()

    assert flow.finish(item) == ["STALE"]
    assert flow.contents() == before
    assert flow.finish(again, "w2")[0] == "OK"


def test_work_that_came_meanwhile_is_done_first(done):
    """AGAIN: an edit made work; the claim is dropped, and the run goes on."""
    flow, item = done
    flow.on("a", "atom_transition", state="PENDING")

    assert flow.finish(item) == ["AGAIN"]

    assert flow.claims() == {}
    flow.step()
    assert flow.finish(item) == ["STALE"]
    assert flow.drive() == ["execute a", "SUCCESS"]


@pytest.mark.parametrize("worker", ["w1", "w2"])
def test_work_that_was_taken_meanwhile_is_waited_for(done, worker):
    """AGAIN: an edit made work, and somebody holds it; the finisher may be the one."""
    flow, finish = done
    flow.on("a", "atom_transition", state="PENDING")
    flow.step()
    held = flow.take(worker, holding=[finish] if worker == "w1" else []).item

    assert flow.finish(finish) == ["AGAIN"]

    assert flow.claims() == {held.id: worker}
    assert broken_rules(flow) == []
    assert flow.complete(held, worker=worker, capacity=1).what == ["finish"]
    assert flow.drive(worker) == ["SUCCESS"]


@pytest.mark.parametrize(
    ("outcomes", "never", "state"),
    [
        ({}, 0, "SUCCESS"),
        ({"execute b": "FAILURE"}, 0, "REVERTED"),
        ({"execute b": "FAILURE"}, 1, "FAILURE"),
        ({"execute b": "FAILURE", "revert a": "REVERT_FAILURE"}, 0, "FAILURE"),
    ],
)
def test_state_follows_from_the_atoms(flow, outcomes, never, state):
    """SUCCESS, REVERTED or FAILURE: as TaskFlow's engine would end."""
    flow.line("a", "b").start(never=never)

    assert flow.drive(outcomes=outcomes)[-1] == state
    assert flow.state == flow.hash("flow")["outcome:1"] == state
    assert flow.members("workers") == []


def test_suspension_with_nothing_left_is_no_suspension(flow):
    """A flow that is done when it is told to suspend ends in SUCCESS."""
    flow.line("a").start()
    item = flow.take().item
    flow.call("flow_transition", to="SUSPENDING")

    assert flow.complete(item, capacity=1).what == ["finish"]
    assert flow.drive() == ["SUCCESS"]


def test_suspended_revert_goes_on_with_the_next_run(flow):
    """As in TaskFlow its failures are looked at again, then it ends REVERTED."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()
    flow.call("flow_transition", to="SUSPENDING")
    assert flow.drive() == ["SUSPENDED"]

    flow.start("w1", run=2)

    assert flow.drive(run=2) == ["resolve b", "revert b", "revert a", "REVERTED"]
    assert broken_rules(flow) == []


def test_failure_of_a_suspended_flow_is_reverted_by_the_next_run(flow):
    """It is resolved while the flow drains, and again when the flow is resumed."""
    flow.line("a", "b").start()
    item = flow.take().item
    flow.call("flow_transition", to="SUSPENDING")
    flow.complete(item, "FAILURE")

    assert flow.drive() == ["resolve a", "SUSPENDED"]
    flow.start("w1", run=2)
    assert flow.drive(run=2) == ["resolve a", "revert a", "REVERTED"]


def remove_ready(flow):
    """Remove all that waits, as somebody might by hand."""
    items = flow.members("ready")
    assert items
    flow.client.execute("ZREM", flow.keys.ready, *items)


def test_work_that_was_removed_is_not_taken_for_undone(flow):
    """AGAIN: what waits for nothing is offered once more before a run is REVERTED."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    remove_ready(flow)

    assert flow.drive() == ["execute b", "SUCCESS"]
    assert broken_rules(flow) == []


def test_reverts_that_were_removed_are_done(flow):
    """All that was done is undone when the run is called REVERTED."""
    flow.line("a", "b", "c").start()
    done = {"execute c": "FAILURE"}
    for _ in range(3):
        item = flow.take().item
        flow.do(item, state=done.get(str(item)))
    flow.do(flow.take().item, state="REVERT_ALL")
    while (handout := flow.take()).next == "PLAN":
        flow.step()
    flow.do(handout.item)
    remove_ready(flow)

    assert flow.drive() == ["revert b", "revert a", "REVERTED"]
    assert flow.hash("flow")["recounted"] == "1"


def test_failure_that_nobody_was_to_resolve_is_resolved(flow):
    """A failure is decided upon before the end, too, if that was removed."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)
    flow.do(flow.take().item, state="FAILURE")
    remove_ready(flow)

    answers = {"resolve b": "REVERT_ALL"}
    expected = ["resolve b", "revert b", "revert a", "REVERTED"]
    assert flow.drive(outcomes=answers) == expected


def test_run_in_which_all_is_undone_is_looked_at_once(flow):
    """AGAIN once, and then the run ends; the next run is looked at anew."""
    flow.line("a").start()
    flow.do(flow.take().item, state="FAILURE")
    flow.do(flow.take().item, state="REVERT_ALL")
    while (handout := flow.take()).next == "PLAN":
        flow.step()
    flow.do(handout.item)
    item = flow.take().item
    assert flow.finish(item) == ["AGAIN"]
    assert flow.finish(item) == ["STALE"]
    while (handout := flow.take()).next == "PLAN":
        flow.step()
    assert flow.finish(handout.item)[:3] == ["OK", "RUNNING", "REVERTED"]
