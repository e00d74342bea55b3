"""work_decline: an item that needs what this worker does not have waits for others."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def declined(flow):
    """Return a flow a -> b with workers w1 and w2; w1 has declined a."""
    flow.line("a", "b").start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    assert decline(flow, item, "w1")[0] == "OK"
    return flow, item


def decline(flow, item, worker, payload='"lacks x"'):
    """Give an item back for want of a value."""
    claim = {"worker": worker, "token": item.token, "item": item.id}
    return flow.on(item.name, "work_decline", payload=payload, **claim)


def test_others_get_it(declined):
    """OK: the worker that declined it is not offered it again; the other one is."""
    flow, _item = declined

    assert flow.atom("a")["owner"] == ""
    assert flow.claims() == {}
    handout = flow.take("w1")
    assert (handout.what, handout.next) == ([], "WAIT")
    handout = flow.take("w2")
    assert handout.what == ["execute a"]
    assert handout.item.attempt == 0
    assert broken_rules(flow) == []
    flow.complete(handout.item, worker="w2")
    assert flow.drive("w1") == ["execute b", "SUCCESS"]


def test_idle_workers_are_woken(flow):
    """OK: one that has nothing to do may have what is needed."""
    flow.line("a", "b").start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    flow.take("w2")

    decline(flow, item, "w1")

    assert list(flow.hints()) == ["w2"]
    assert flow.members("idle") == []


def test_repeated_request_is_stale(declined):
    """STALE: the second sending changes nothing."""
    flow, item = declined
    before = flow.contents()

    assert decline(flow, item, "w1") == ["STALE"]
    assert flow.contents() == before


def test_run_ends_where_nobody_can_do_it(declined):
    """When the last live worker declines, too, the run is halted for its failure."""
    flow, _item = declined
    assert decline(flow, flow.take("w2").item, "w2", '"w2 lacks x"')[0] == "OK"

    assert flow.take("w2").what == ["finish"]
    assert flow.hash("flow")["halt:1"] == '"w2 lacks x"'


def test_run_ends_when_those_who_could_do_it_die(declined):
    """A worker that is gone is waited for no longer."""
    flow, _item = declined
    flow.sweep(dead="w2")

    assert flow.drive("w1") == ["FAILURE"]
    assert flow.hash("flow")["halt:1"] == '"lacks x"'
    assert flow.hash("plan") == {}
    assert broken_rules(flow) == []


def test_next_run_offers_it_to_all(declined):
    """What was declined in one run is offered again in the next."""
    flow, _item = declined
    flow.sweep(dead="w2")
    flow.drive("w1")

    flow.start("w1", run=2)
    assert flow.drive("w1", run=2) == ["execute a", "execute b", "SUCCESS"]


def test_other_work_goes_on(flow):
    """The worker that declined one item is offered the others."""
    flow.fan("a", "b").start("w1")
    flow.start("w2")
    item = flow.take("w1").item
    decline(flow, item, "w1")

    other = flow.take("w1").item
    assert other.name == "b"
    flow.complete(other, worker="w1")
    assert flow.take("w1").what == []
    assert flow.drive("w2") == ["execute a", "SUCCESS"]
