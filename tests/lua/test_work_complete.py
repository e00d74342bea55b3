"""work_complete: a result is recorded once, and what it held back is opened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.support.eventually import eventually
from tests.support.flow_rules import broken_rules
from tests.support.flows import Item


def test_result_is_recorded_and_the_next_item_handed_out(flow):
    """OK: result, atom, claim, journal and the next item in one call."""
    flow.line("a", "b").start()
    item = flow.take().item
    rev = flow.rev

    handout = flow.complete(item, payload="42", capacity=1)

    assert (handout.before, handout.state) == (rev, "RUNNING")
    assert handout.rev == flow.rev == rev + 2
    assert handout.what == ["execute b"]
    assert flow.result("a") == {"results": "42"}
    assert (
        flow.atom("a").items()
        >= {
            "state": "SUCCESS",
            "owner": "",
            "rev": str(rev + 1),
        }.items()
    )
    assert flow.claims() == {"00000002:execute": "w1"}
    assert [entry["to"] for entry in flow.journal(since=rev)] == ["SUCCESS", "RUNNING"]
    assert broken_rules(flow) == []


def test_repeated_completion_is_recognised(flow):
    """REPEATED: the second sending changes nothing; its next item comes with a take."""
    flow.line("a", "b").start()
    item = flow.take().item
    handed_out = flow.complete(item, capacity=1).item
    before = flow.contents()

    assert flow.try_complete(item, capacity=1) == ["REPEATED"]
    assert flow.contents() == before
    assert flow.take().item.token == handed_out.token


def test_repeated_completion_is_recognised_when_the_flow_has_gone_on(flow):
    """REPEATED: what was recorded is reverted already, and nothing is kept aside."""
    flow.line("a", "b").start()
    first = flow.take().item
    failed = flow.complete(first, capacity=1).item
    resolve = flow.complete(failed, state="FAILURE", capacity=1).item
    while flow.resolve(resolve)[0] == "PLANNED":
        flow.step()
    flow.step()
    flow.complete(flow.take().item, state="REVERTED")
    flow.take()
    assert flow.atom("a")["state"] == "REVERTING"
    before = flow.contents()

    assert flow.try_complete(first, capacity=1) == ["REPEATED"]
    assert flow.contents() == before


def test_late_completion_is_refused_and_its_payload_kept(flow):
    """STALE: after a sweep another owns the atom; the late result stands aside."""
    flow.line("a").start("w1")
    flow.start("w2")
    late = flow.take("w1").item
    flow.lapse("w1")
    flow.sweep()
    new = flow.take("w2").item
    before = flow.atom("a")

    assert flow.try_complete(late, payload='"late"') == ["STALE"]
    assert flow.try_complete(late, payload='"late"') == ["STALE"]

    assert flow.atom("a") == before
    assert flow.result("a") == {f"late:{late.token}": '"late"'}
    assert flow.complete(new, worker="w2", payload="1").state == "RUNNING"
    assert flow.result("a")["results"] == "1"


def test_completion_after_the_new_owner_has_finished_is_refused(flow):
    """STALE: the same state by another token is not a repetition."""
    flow.line("a").start("w1")
    flow.start("w2")
    late = flow.take("w1").item
    flow.sweep(dead="w1")
    flow.complete(flow.take("w2").item, worker="w2", payload='"first"')

    assert flow.try_complete(late, payload='"late"') == ["STALE"]
    assert flow.result("a")["results"] == '"first"'


def test_invented_token_is_refused(flow):
    """STALE: the claim is compared, worker and token."""
    flow.line("a").start("w1")
    item = flow.take().item
    other = Item(item.id, "999", item.name, 1, 0, "PENDING")

    assert flow.try_complete(other) == ["STALE"]
    assert flow.try_complete(item, worker="w2") == ["STALE"]
    assert flow.claims() == {item.id: "w1"}


def test_failure_waits_to_be_resolved(flow):
    """FAILURE opens a resolve item before all else, and nothing after the atom."""
    flow.layers(["a", "x"], ["b"]).start()
    item = flow.take().item

    handout = flow.complete(item, "FAILURE", payload='"why"', capacity=1)

    assert handout.what == ["resolve a"]
    assert flow.result("a") == {"failure": '"why"'}
    assert flow.atom("a").items() >= {"state": "FAILURE", "failed": "E"}.items()
    assert flow.members("ready") == ["00000002:execute"]


def test_failures_are_resolved_in_their_order(flow):
    """Two failures: one after the other, in the order in which they were recorded."""
    flow.fan("a", "b", "c").start()
    first, second, third = flow.take(capacity=3).items
    flow.complete(second, "FAILURE")
    flow.complete(first, "FAILURE")

    resolve = flow.take(capacity=5, holding=[third])
    assert resolve.what == ["resolve b"]
    flow.resolve(resolve.item)
    flow.complete(third)
    flow.step()
    resolve = flow.take(capacity=5)
    assert resolve.what == ["resolve a"]
    flow.resolve(resolve.item)

    assert flow.drive() == ["revert a", "revert b", "revert c", "REVERTED"]


def test_completion_wakes_idlers_for_what_it_leaves(flow):
    """A worker without room leaves hints for those that can take what it opened."""
    flow.layers(["a"], ["b", "c"]).start("w1")
    item = flow.take("w1").item
    for worker in ("w2", "w3", "w4"):
        flow.start(worker)
        flow.take(worker)

    handout = flow.complete(item, capacity=0)

    assert handout.items == []
    assert list(flow.hints()) == ["w2", "w3"]


def test_blocked_worker_has_the_hint_with_the_completion(flow):
    """Nobody has to push it."""
    flow.layers(["a"], ["b", "c"]).start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    flow.take("w2")
    key = flow.keys.wake("w2")
    with ThreadPoolExecutor(1) as pool, closing(flow.client.sibling()) as other:
        hint = pool.submit(other.block, "BLPOP", key, 20, block_s=20)
        eventually(lambda: flow.client.reports("clients")[0]["blocked_clients"])
        flow.complete(item, capacity=1)
        assert hint.result(10)[1] == b"look"
    assert flow.hints() == {}


def test_hint_that_cannot_be_left_is_only_a_hint(flow):
    """Where something else stands in its place, all else is done."""
    flow.layers(["a"], ["b", "c"]).start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    flow.take("w2")
    flow.client.execute("SET", flow.keys.wake("w2"), "in the way")

    assert flow.complete(item, capacity=1).what == ["execute b"]
    assert flow.members("idle") == []
    assert flow.take("w2").what == ["execute c"]


def test_reverts_mirror_the_dependencies(flow):
    """What depends on an atom is reverted before it, on every path."""
    flow.layers(["a"], ["b", "c"], ["d"], ["e"]).start()

    done = flow.drive(outcomes={"execute e": "FAILURE"})

    order = [word.removeprefix("revert ") for word in done if word.startswith("revert")]
    assert order == ["e", "d", "b", "c", "a"]
    assert done[-1] == "REVERTED"
    assert flow.states() == dict.fromkeys("abcde", "REVERTED")
    assert broken_rules(flow) == []


def test_revert_keeps_the_failure_and_adds_its_own_result(flow):
    """A person sees why it failed and what its revert returned."""
    flow.line("a").start()
    flow.complete(flow.take().item, "FAILURE", payload='"why"')
    flow.resolve(flow.take().item)
    flow.step()

    flow.complete(flow.take().item, "REVERTED", payload='"undone"')

    assert flow.result("a") == {"failure": '"why"', "revert_results": '"undone"'}
    assert flow.atom("a")["state"] == "REVERTED"


def test_atoms_that_never_ran_do_not_hold_back_a_revert(flow):
    """PENDING atoms in between are passed, gates too."""
    flow.graph(
        {
            "<f": ["a"],
            "a": ["<1", "b"],
            "<1": ["x"],
            "b": [">f"],
            "x": [">1"],
            ">1": [">f"],
            ">f": [],
        }
    ).start()

    assert flow.drive(outcomes={"execute b": "FAILURE"}) == [
        "execute a",
        "execute b",
        "resolve b",
        "revert b",
        "revert a",
        "REVERTED",
    ]
    assert flow.states()["x"] == "PENDING"


def test_failed_revert_ends_the_run(flow):
    """REVERT_FAILURE halts: nothing more is handed out, and finish writes FAILURE."""
    flow.line("a", "b").start()

    done = flow.drive(outcomes={"execute b": "FAILURE", "revert b": "REVERT_FAILURE"})

    assert done[-2:] == ["revert b", "FAILURE"]
    assert flow.atom("b")["state"] == "REVERT_FAILURE"
    assert flow.atom("a")["state"] == "SUCCESS"
    assert flow.hash("flow").items() >= {"halt": "1", "halt:1": "null"}.items()


def test_failure_that_is_never_resolved_ends_the_run(flow):
    """never: the failure is kept as the reason, what is held drains, then FAILURE."""
    flow.fan("a", "b", "c").start(never=1)
    first, second = flow.take(capacity=2).items

    assert flow.complete(first, "FAILURE", payload='"why"', capacity=1).items == []
    assert flow.complete(second, capacity=1).what == ["finish"]

    assert flow.drive() == ["FAILURE"]
    assert flow.hash("flow")["halt:1"] == '"why"'
    assert flow.states() == {"a": "FAILURE", "b": "SUCCESS", "c": "PENDING"}


def test_success_of_an_atom_that_is_to_be_reverted(flow):
    """Held while the others were told to revert, it is offered its own revert."""
    flow.fan("a", "b").start("w1")
    flow.start("w2")
    failing = flow.take("w1").item
    held = flow.take("w2").item
    flow.complete(failing, "FAILURE")
    flow.resolve(flow.take("w1").item)
    flow.step()

    handout = flow.complete(held, worker="w2", capacity=1)

    assert flow.atom("b")["intention"] == "REVERT"
    assert handout.what == ["revert a"]
    assert flow.take("w1").what == ["revert b"]


@pytest.mark.parametrize("steps", range(4))
def test_completion_at_any_moment_of_a_revert_plan(flow, steps):
    """Before, between and after the steps of the plan: everything is reverted once."""
    flow.layers(["a"], ["b", "c"]).start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item)
    failing = flow.take("w1").item
    held = flow.take("w2").item
    flow.complete(failing, "FAILURE")
    flow.resolve(flow.take("w1").item)
    for _ in range(steps):
        flow.call("plan_step")

    flow.complete(held, worker="w2")

    assert sorted(flow.drive()) == ["REVERTED", "revert a", "revert b", "revert c"]
    assert broken_rules(flow) == []


def test_revert_of_an_atom_left_half_way_does_not_release_others_too_early(flow):
    """B is reverted while c, edited to be done, is not: a waits for c all the same."""
    links = {
        "<f": ["a", "x"],
        "a": ["b"],
        "b": ["c"],
        "c": [">f"],
        "x": [">f"],
        ">f": [],
    }
    flow.graph(links).start("w1")
    flow.start("w2")
    first, failing = flow.take("w1", capacity=2).items
    flow.complete(first)
    flow.take("w2")
    flow.leave("w2")
    flow.on("c", "atom_transition", state="SUCCESS")
    flow.step()
    flow.complete(failing, "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()
    items = {item.name: item for item in flow.take(capacity=3).items}
    assert set(items) == {"b", "c", "x"}

    flow.complete(items["b"], "REVERTED")
    assert flow.members("ready") == []
    flow.complete(items["c"], "REVERTED")

    assert flow.members("ready") == ["00000001:revert"]
