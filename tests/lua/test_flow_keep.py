"""flow_keep: a flow that was to go stays, since it is run again."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules
from tests.support.flows import submitted
from tests.support.kept_flows import ended, lasting


def test_nothing_expires_any_more(flow):
    """OK: all keys stay, and the next run begins."""
    ended(flow, "a")
    assert flow.start("w1", run=2) == ["EXPIRES"]
    assert submitted(flow, "again", rerun=1) == ["EXPIRES"]

    assert flow.call("flow_keep") == ["OK"]

    assert len(lasting(flow)) == len(flow.all_keys())
    assert "expires_at" not in flow.hash("flow")
    assert broken_rules(flow) == []
    assert flow.start("w1", run=2) == ["READY"]
    assert flow.drive(run=2) == ["SUCCESS"]
    assert lasting(flow) == []  # as its first run had asked


def test_records_come_before_the_flow(flow):
    """MORE: until all of them stay the flow itself is still to go."""
    ended(flow, *[f"t{number}" for number in range(250)])

    assert flow.call("flow_keep") == ["MORE", 200]

    kept = lasting(flow)
    assert flow.keys.flow not in kept
    assert len(kept) >= 2 * 198
    assert flow.start("w1", run=2) == ["EXPIRES"]
    assert flow.call("flow_keep", first=200) == ["OK"]
    assert len(lasting(flow)) == len(flow.all_keys())


def test_the_last_end_does_not_overtake_it(flow):
    """A finisher that goes on late finds the flow kept, and lets nothing more go."""
    ended(flow, *[f"t{number}" for number in range(450)])
    assert flow.call("flow_keep") == ["MORE", 200]

    assert flow.call("flow_expire", first=0) == ["KEPT"]
    assert flow.call("flow_keep", first=200) == ["MORE", 400]
    assert flow.call("flow_expire", first=200) == ["KEPT"]
    assert flow.call("flow_keep", first=400) == ["OK"]

    assert len(lasting(flow)) == len(flow.all_keys())
    assert "keeping" not in flow.hash("flow")
