"""flow_remove: a flow with all that belongs to it, in bounded calls."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey, FlowLost


def test_nothing_is_left(flow):
    """OK: records, results and collections are gone, and the atoms are named."""
    flow.line("a", "b").start()
    flow.complete(flow.take().item)

    status, uuids, lost = flow.call("flow_remove", limit=1000)

    assert (status, set(uuids), lost) == ("OK", {"a-uuid", "b-uuid"}, 0)
    assert flow.all_keys() == []


def test_part_by_part(flow):
    """MORE: the flow is gone with the first call, its atoms with the last."""
    flow.create()
    flow.ensure("a", "b", "c")

    assert flow.call("flow_remove", limit=2) == ["MORE", ["a-uuid", "b-uuid"], 0]
    with pytest.raises(FlowLost):
        flow.call("flow_sync", since=0, limit=10)
    with pytest.raises(CorruptKey):  # nobody makes a new one around what is left
        flow.create()
    assert flow.call("flow_remove", limit=2) == ["OK", ["c-uuid"], 0]
    assert flow.all_keys() == []


def test_flow_that_is_gone(flow):
    """OK: there is nothing to remove, however often it is asked for."""
    assert flow.call("flow_remove", limit=10) == ["OK", [], 0]
    assert flow.all_keys() == []


def test_flow_that_workers_are_at_is_left_if_it_has_to_be_idle(flow):
    """KEPT: nothing is removed before the last of them has left."""
    flow.line("a").start()
    before = flow.contents()

    assert flow.call("flow_remove", limit=10, only="idle") == ["KEPT", 1]
    assert flow.contents() == before

    flow.leave()
    assert flow.call("flow_remove", limit=10, only="idle") == ["OK", ["a-uuid"], 0]
    assert flow.all_keys() == []


def test_flow_that_is_there_is_no_leftover(flow):
    """KEPT: who collects what gone flows have left removes no flow that came back."""
    flow.line("a").start()
    flow.leave()
    before = flow.contents()

    assert flow.call("flow_remove", limit=10, only="gone") == ["KEPT", 0]
    assert flow.contents() == before

    flow.client.execute("DEL", flow.keys.flow)
    assert flow.call("flow_remove", limit=10, only="gone") == ["OK", ["a-uuid"], 0]
    assert flow.all_keys() == []


def test_records_that_nothing_leads_to_go_if_they_are_named(flow):
    """OK: those of a flow whose collections are gone already."""
    flow.line("a", "b").start()
    for key in flow.all_keys():
        if ":atom:" not in key and ":result:" not in key:
            flow.client.execute("DEL", key)

    done = flow.call("flow_remove", rest=["a-uuid", "b-uuid"], limit=10, only="gone")

    assert done == ["OK", [], 0]
    assert flow.all_keys() == []


def test_only_as_it_was_seen(flow):
    """MOVED: it was chosen for what it was, and is something else by now."""
    flow.line("a").start()
    flow.drive()
    seen = int(flow.hash("flow")["rev"])
    flow.on("a", "atom_reset", state="PENDING")
    before = flow.contents()

    assert flow.call("flow_remove", limit=10, only="idle", seen=seen) == ["MOVED"]
    assert flow.contents() == before
    rev = int(flow.hash("flow")["rev"])
    assert flow.call("flow_remove", limit=10, only="idle", seen=rev)[0] == "OK"


@pytest.mark.parametrize("name", ["events", "lock", "missing", "changes", "workers"])
def test_flow_that_has_lost_a_key_goes_nevertheless(flow, name):
    """OK: lost is 1 if nothing names its atoms any more, whose records are left."""
    flow.line("a", "b").start()
    flow.leave()
    flow.client.execute("DEL", getattr(flow.keys, name))

    status, _uuids, lost = flow.call("flow_remove", limit=10, only="idle")

    assert (status, lost) == ("OK", int(name == "changes"))
    left = {key for key in flow.all_keys() if ":atom:" not in key}
    assert left == set()
    assert bool(flow.all_keys()) == bool(lost)
