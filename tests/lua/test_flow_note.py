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


def note(flow, op_id, keep_ms=60_000):
    """Note something; returns the status."""
    return flow.call("flow_note", op_id=op_id, keep_ms=keep_ms)[0]


def test_sent_again_it_is_noted_once(flow):
    """SAME: the same request is there already; another is not it."""
    flow.line("a").start()
    note(flow, "1")
    before = flow.contents()

    assert note(flow, "1") == "SAME"
    assert flow.contents() == before
    assert note(flow, "2") == "OK"


def test_it_is_known_again_however_much_has_happened_since(flow):
    """SAME: neither the journal's length nor what others note hides a request."""
    flow.line("a").start()
    note(flow, "mine")
    for number in range(150):
        flow.on("a", "atom_transition", intention=("RETRY", "EXECUTE")[number % 2])
    assert note(flow, "yours") == "OK"
    assert len(flow.journal()) > 150
    before = flow.contents()

    assert [note(flow, "mine"), note(flow, "yours")] == ["SAME", "SAME"]
    assert flow.contents() == before


def test_requests_are_remembered_as_long_as_they_can_be_sent_again(flow):
    """What cannot come again is dropped when something else is noted."""
    flow.line("a").start()
    note(flow, "gone", keep_ms=-1)
    note(flow, "first")
    note(flow, "second")

    words = flow.hash("flow")["noted"].split()
    assert words[::2] == ["second", "first"]
