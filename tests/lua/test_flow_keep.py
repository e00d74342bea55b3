"""flow_keep: a flow that was to go stays, since it is changed or run again."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules
from tests.support.flows import submitted
from tests.support.kept_flows import ended, expire, keep, lasting


def test_nothing_expires_any_more(flow):
    """OK: all keys stay, and the next run begins."""
    ended(flow, "a")
    assert flow.start("w1", run=2) == ["EXPIRES"]
    assert submitted(flow, "again", rerun=1) == ["EXPIRES", 1]

    assert flow.call("flow_keep", ended=1) == ["OK"]

    assert len(lasting(flow)) == len(flow.all_keys())
    assert "expires_at" not in flow.hash("flow")
    assert broken_rules(flow) == []
    assert flow.start("w1", run=2) == ["READY"]
    assert flow.drive(run=2) == ["SUCCESS"]
    assert lasting(flow) == []  # as its first run had asked


def test_records_come_before_the_flow(flow):
    """MORE: until all of them stay the flow itself is still to go."""
    ended(flow, *[f"t{number}" for number in range(250)])
    expire(flow)

    status, after = flow.call("flow_keep", ended=1)

    kept = lasting(flow)
    assert status == "MORE"
    assert flow.keys.flow not in kept
    assert flow.keys.changes in kept  # it names what would be left if nobody goes on
    assert len(kept) >= 2 * 198
    assert flow.start("w1", run=2) == ["EXPIRES"]
    assert flow.call("flow_keep", ended=1, after=after) == ["OK"]
    assert len(lasting(flow)) == len(flow.all_keys())


def test_the_last_end_does_not_overtake_it(flow):
    """A finisher that goes on late finds the flow kept, and lets nothing more go."""
    ended(flow, *[f"t{number}" for number in range(450)])
    _, after = flow.call("flow_keep", ended=1)

    assert flow.call("flow_expire", run=1) == ["KEPT"]
    status, after = flow.call("flow_keep", ended=1, after=after)
    assert status == "MORE"
    assert flow.call("flow_expire", run=1, after=after) == ["KEPT"]
    assert flow.call("flow_keep", ended=1, after=after) == ["OK"]

    assert len(lasting(flow)) == len(flow.all_keys())
    assert "keeping" not in flow.hash("flow")


def test_what_changes_meanwhile_is_not_passed_over(flow):
    """The place to go on from is a revision: an atom that moves leaves no gap."""
    ended(flow, *[f"t{number}" for number in range(250)])
    expire(flow)
    _, after = flow.call("flow_keep", ended=1)
    first = flow.client.execute("ZRANGEBYSCORE", flow.keys.changes, "(0", "+inf")[0]
    rev = int(flow.hash("flow")["rev"]) + 1
    flow.client.execute("ZADD", flow.keys.changes, rev, first)
    keep(flow, after=after)
    assert len(lasting(flow)) == len(flow.all_keys())


def test_late_keeper_leaves_the_next_end_alone(flow):
    """OK: that run was kept by another, has run again, and goes as its end says."""
    names = [f"t{number}" for number in range(250)]
    ended(flow, *names)
    _, after = flow.call("flow_keep", ended=1)
    keep(flow)
    assert flow.start("w1", run=2) == ["READY"]
    assert flow.drive(run=2) == ["SUCCESS"]
    expire(flow, run=2)
    assert lasting(flow) == []

    assert flow.call("flow_keep", ended=1, after=after) == ["OK"]
    assert flow.call("flow_expire", run=1, after=0) == ["KEPT"]

    assert lasting(flow) == []
    assert "keeping" not in flow.hash("flow")
