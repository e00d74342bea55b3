"""flow_write: what has changed in the details of a flow."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def test_state_and_metadata(flow):
    """OK: both are written, the transition is journaled, the flow is told back."""
    flow.create("a", "1", "b", "2")
    flow.ensure("x", "y")

    words = [2, "meta:c", "3", 1, "meta:a"]
    status, atoms, flat = flow.call("flow_write", rest=words, state="RUNNING")

    fields = flow.hash("flow")
    assert (status, atoms) == ("OK", 2)
    assert dict(zip(flat[::2], flat[1::2], strict=True)) == fields
    assert fields.items() >= {"state": "RUNNING", "meta:b": "2", "meta:c": "3"}.items()
    assert "meta:a" not in fields
    last = flow.journal()[-1]
    assert (last["from"], last["to"], last["atom"]) == ("PENDING", "RUNNING", "")
    assert broken_rules(flow) == []


def test_nothing_to_change_changes_nothing(flow):
    """OK: the same state, or none, and no metadata leave all keys as they are."""
    flow.create(state="SUSPENDED")
    before = flow.contents()

    for state in ("", "SUSPENDED"):
        assert flow.call("flow_write", rest=[0, 0], state=state)[0] == "OK"
    assert flow.contents() == before


def test_metadata_alone_is_not_journaled(flow):
    """OK: an entry of metadata is another revision, not a transition."""
    flow.create()
    flow.call("flow_write", rest=[2, "meta:a", "1", 0])

    assert (flow.rev, len(flow.journal())) == (2, 1)


def test_state_of_a_flow_with_live_workers_is_theirs(flow):
    """RUNNING: refused with its metadata while they live; metadata alone is merged."""
    flow.line("a").start()
    before = flow.contents()

    words = [2, "meta:a", "1", 0]
    assert flow.call("flow_write", rest=words, state="SUCCESS") == ["RUNNING", 1]
    assert flow.contents() == before

    assert flow.call("flow_write", rest=words, state="RUNNING")[0] == "OK"
    flow.lapse("w1")
    assert flow.call("flow_write", rest=words, state="FAILURE")[0] == "OK"
    assert flow.state == "FAILURE"
