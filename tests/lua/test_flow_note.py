"""flow_note: what an operator does stands in the journal."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def test_act_and_reason_are_noted(flow):
    """OK: an entry of the flow that moves nothing, with a revision of its own."""
    flow.line("a").start()
    rev = flow.rev

    assert flow.call("flow_note", who="me", act="reset a", reason="why") == [
        "OK",
        rev + 1,
    ]

    entry = flow.journal()[-1]
    assert entry.items() >= {"act": "reset a", "reason": "why", "worker": "me"}.items()
    assert (entry["from"], entry["to"], entry["atom"]) == ("RUNNING", "RUNNING", "")
    assert broken_rules(flow) == []


def test_sent_again_it_is_noted_once(flow):
    """SAME: the same request is there already; another is not it."""
    flow.line("a").start()
    flow.call("flow_note", op_id="1")
    before = flow.contents()

    assert flow.call("flow_note", op_id="1") == ["SAME"]
    assert flow.contents() == before
    assert flow.call("flow_note", op_id="2")[0] == "OK"
