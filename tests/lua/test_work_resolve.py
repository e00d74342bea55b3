"""work_resolve: what was decided about a failure is applied once."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def resolving(flow):
    """Return a flow a -> b -> c whose b has failed, and the item to resolve it."""
    flow.line("a", "b", "c").start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item)
    flow.complete(flow.take("w1").item, "FAILURE")
    return flow, flow.take("w1").item


def test_revert_of_everything_is_set_out_as_a_plan(resolving):
    """OK: the claim is gone, the barrier is open, and the plan does the rest."""
    flow, item = resolving
    rev = flow.rev

    assert flow.resolve(item) == ["OK", rev, rev + 1]

    assert flow.hash("plan")["phases"] == "mark,backward"
    assert flow.hash("flow").items() >= {"resolving": "", "reverting": "1"}.items()
    assert flow.claims() == {}
    flow.step()
    assert {name: flow.atom(name)["intention"] for name in "abc"} == dict.fromkeys(
        "abc", "REVERT"
    )
    assert flow.members("ready") == ["00000002:revert"]
    assert broken_rules(flow) == []


def test_another_plan_comes_first(resolving):
    """PLANNED: nothing is changed, and the item stays with its worker."""
    flow, item = resolving
    flow.on("c", "atom_transition", intention="IGNORE")
    rev, before = flow.rev, flow.contents()

    assert flow.resolve(item) == ["PLANNED", rev, rev]
    assert flow.contents() == before
    flow.step()
    assert flow.resolve(item)[0] == "OK"


def test_repeated_resolve_is_stale(resolving):
    """STALE: the second sending changes nothing."""
    flow, item = resolving
    flow.resolve(item)
    before = flow.contents()

    assert flow.resolve(item) == ["STALE"]
    assert flow.contents() == before


def test_strategy_that_nobody_knows_is_refused(resolving):
    """UNKNOWN: the item stays with its worker, and nothing is changed."""
    flow, item = resolving
    before = flow.contents()

    claim = {"worker": "w1", "token": item.token, "item": item.id}
    assert flow.call("work_resolve", strategy="HOPE", **claim) == ["UNKNOWN"]
    assert flow.contents() == before
    assert flow.resolve(item)[0] == "OK"


def test_what_has_been_given_a_result_is_not_decided(resolving):
    """OK: the claim is dropped, and nothing is reverted."""
    flow, item = resolving
    flow.client.execute("HSET", flow.keys.atom("b-uuid"), "state", "SUCCESS")
    assert flow.resolve(item)[0] == "OK"
    assert flow.claims() == {}
    assert flow.hash("flow")["reverting"] == "0"
    assert flow.hash("flow")["planned"] == "0"


def test_late_resolve_is_stale(resolving):
    """STALE: the item went to another worker, who decides alone."""
    flow, item = resolving
    flow.sweep(dead="w1")
    again = flow.take("w2").item
    before = flow.contents()

    assert again.id == item.id
    assert flow.resolve(item, "w1") == ["STALE"]
    assert flow.contents() == before
    assert flow.resolve(again, "w2")[0] == "OK"


def test_failure_while_everything_reverts_only_adds_its_own_revert(flow):
    """A second failure does not set out the whole plan again."""
    flow.fan("a", "b").start()
    first, second = flow.take(capacity=2).items
    flow.complete(first, "FAILURE")
    flow.complete(second, "FAILURE")
    flow.resolve(flow.take().item)
    flow.step()

    assert flow.resolve(flow.take().item)[0] == "OK"

    assert flow.hash("plan") == {}
    assert set(flow.members("ready")) == {"00000001:revert", "00000002:revert"}
    assert flow.drive() == ["revert a", "revert b", "REVERTED"]


def test_what_is_planned_comes_first(resolving):
    """PLANNED: a change of many records ends before the next one is set out."""
    flow, item = resolving
    flow.client.execute("HSET", flow.keys.plan, "to_open", "0@1")
    flow.client.execute("HSET", flow.keys.flow, "planned", 1)
    before = flow.contents()

    assert flow.resolve(item) == ["PLANNED", flow.rev, flow.rev]

    assert flow.contents() == before
    flow.step()
    assert flow.resolve(item)[0] == "OK"
