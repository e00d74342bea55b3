"""flow_check: what stands in the way of a change, before the first call of it."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey
from redisflow.scripts import catalogue
from tests.support.flow_view import uuid_of


def test_flow_that_is_there(flow):
    """OK: known and new atoms may be written."""
    flow.create()
    flow.ensure("a")

    rest = ["a-uuid", "task", 1, "b-uuid", "retry", 1]
    assert flow.call("flow_check", rest=rest) == ["OK"]


def test_flow_that_is_not_there(flow):
    """NEW: nothing of it exists."""
    assert flow.call("flow_check", rest=["a-uuid", "task", 1]) == ["NEW"]
    assert flow.all_keys() == []


@pytest.mark.parametrize("kind", ["atom", "result", "changes", "events"])
def test_what_a_lost_flow_left_behind(flow, kind):
    """A key that would be in the way of a new flow is named."""
    key = getattr(flow.keys, kind)
    key = key("a-uuid") if kind in ("atom", "result") else key
    flow.client.execute("SET", key, "in the way")

    with pytest.raises(CorruptKey) as caught:
        flow.call("flow_check", rest=["a-uuid", "task", 1])

    assert caught.value.key == key


def test_atom_of_another_type(flow):
    """KIND: a task is not a retry."""
    flow.create()
    flow.ensure("a")

    reply = flow.call("flow_check", rest=["a-uuid", "retry", 0])
    assert reply == ["KIND", "a-uuid", "task"]


def test_atom_that_is_held(flow):
    """HELD: unless only its metadata is to be changed; whether its worker lives."""
    flow.line("a").start()
    flow.take()

    assert flow.call("flow_check", rest=["a-uuid", "task", 0]) == ["OK"]
    reply = flow.call("flow_check", rest=["a-uuid", "task", 1])
    assert reply == ["HELD", "a-uuid", "w1", 1]
    flow.lapse("w1")
    reply = flow.call("flow_check", rest=["a-uuid", "task", 1])
    assert reply == ["HELD", "a-uuid", "w1", 0]


def test_all_collections_are_looked_at():
    """A collection that flow_create makes is checked, and removed, with the others."""
    made = catalogue()["flow_create"].keys

    assert catalogue()["flow_check"].keys == made
    assert catalogue()["flow_remove"].keys == made


def test_what_names_the_records_of_one_that_is_gone_is_told(flow):
    """LEFT: it went when its retention was over, and whoever let it go has died."""
    flow.create()
    flow.ensure("a")
    records = {flow.keys.atom(uuid_of("a")), flow.keys.changes}
    flow.client.execute("DEL", *set(flow.all_keys()) - records)
    before = flow.contents()
    assert flow.call("flow_check") == ["LEFT"]
    assert flow.contents() == before
    assert flow.call("flow_remove", limit=10, only="gone", seen=0)[0] == "OK"
    assert flow.all_keys() == []
    assert flow.call("flow_check") == ["NEW"]
