"""flow_remove: a flow with all that belongs to it, in bounded calls."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey, FlowLost


def test_nothing_is_left(flow):
    """OK: records, results and collections are gone, and the atoms are named."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)

    status, uuids = flow.call("flow_remove", limit=1000)

    assert (status, set(uuids)) == ("OK", {"a-uuid", "b-uuid"})
    assert flow.all_keys() == []


def test_part_by_part(flow):
    """MORE: the flow is gone with the first call, its atoms with the last."""
    flow.create()
    flow.ensure("a", "b", "c")

    assert flow.call("flow_remove", limit=2) == ["MORE", ["a-uuid", "b-uuid"]]
    with pytest.raises(FlowLost):
        flow.call("flow_sync", since=0, limit=10)
    with pytest.raises(CorruptKey):  # nobody makes a new one around what is left
        flow.create()
    assert flow.call("flow_remove", limit=2) == ["OK", ["c-uuid"]]
    assert flow.all_keys() == []


def test_flow_that_is_gone(flow):
    """OK: there is nothing to remove, however often it is asked for."""
    assert flow.call("flow_remove", limit=10) == ["OK", []]
    assert flow.all_keys() == []


def test_flow_that_workers_are_at_is_left_if_it_has_to_be_idle(flow):
    """LIVE: nothing is removed before the last of them has left."""
    flow.line("a").start()
    before = flow.contents()

    assert flow.call("flow_remove", limit=10, idle=1) == ["LIVE", 1]
    assert flow.contents() == before

    flow.leave()
    assert flow.call("flow_remove", limit=10, idle=1) == ["OK", ["a-uuid"]]
    assert flow.all_keys() == []
