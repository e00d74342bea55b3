"""flow_expire: the records of a large flow go when the flow goes."""

from __future__ import annotations

from tests.support.flow_view import uuid_of
from tests.support.kept_flows import ended, expire, lasting


def test_small_flow_goes_as_a_whole(flow):
    """The end of the run sets it out for all keys at once; OK: nothing is left."""
    reply = ended(flow, "a", "b")
    assert reply[3] == 0
    assert lasting(flow) == []
    at_ms = flow.hash("flow")["expires_at"]
    times = flow.client.execute_many([("PEXPIRETIME", key) for key in flow.all_keys()])
    assert set(times) == {int(at_ms)}
    assert flow.call("flow_expire", run=1) == ["OK"]


def test_large_flow_goes_in_parts(flow):
    """MORE: 200 records a call, and what names them last; twice does no harm."""
    names = [f"t{number}" for number in range(450)]
    *_, after = ended(flow, *names)
    assert after > 0
    # The keys of the atoms themselves, and what names them, but none of the flow's.
    assert len(lasting(flow)) == 2 * (450 - 200) + 1
    assert flow.keys.changes in lasting(flow)
    status, later = flow.call("flow_expire", run=1, after=after)
    assert (status, later > after) == ("MORE", True)
    assert flow.call("flow_expire", run=1, after=after) == ["MORE", later]
    assert flow.call("flow_expire", run=1, after=later) == ["OK"]
    assert lasting(flow) == []


def test_flow_that_stays_is_left_alone(flow):
    """KEPT: it was not to go, or not any more, or its last end was another."""
    ended(flow, "a", keep_ms=-1)
    before = flow.contents()
    assert flow.call("flow_expire", run=1) == ["KEPT"]
    assert (flow.contents(), len(lasting(flow))) == (before, len(flow.all_keys()))
    flow.client.execute("HSET", flow.keys.flow, "expires_at", 1 << 50)
    assert flow.call("flow_expire", run=2) == ["KEPT"]


def test_suspended_flow_stays(flow):
    """It is not finished: it goes on some day."""
    flow.line("a", "b").start(keep_ms=1000)
    flow.call("flow_transition", to="SUSPENDING")
    assert flow.drive() == ["SUSPENDED"]
    assert len(lasting(flow)) == len(flow.all_keys())
    assert "expires_at" not in flow.hash("flow")


def test_record_of_no_atom_is_no_obstacle(flow):
    """What was removed by hand stays removed."""
    ended(flow, "a")
    flow.client.execute("DEL", flow.keys.atom(uuid_of("a")))
    expire(flow)
    assert not flow.client.execute("EXISTS", flow.keys.atom(uuid_of("a")))
