"""value_note: which values some worker has that others cannot get."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules


def test_names_are_noted_once(flow):
    """OK: noting the same again costs no revision."""
    flow.create()

    assert flow.call("value_note", rest=["x", "y"]) == ["OK", 1, 2]
    assert {"transient:x", "transient:y"} <= flow.hash("flow").keys()
    before = flow.contents()
    assert flow.call("value_note", rest=["y", "x"]) == ["OK", 2, 2]
    assert flow.call("value_note") == ["OK", 2, 2]
    assert flow.contents() == before
    assert broken_rules(flow) == []


def test_notes_end_with_the_run(flow):
    """Of the next run nobody knows yet who will be there."""
    flow.line("a").start()
    flow.call("value_note", rest=["x"])
    flow.drive()

    assert "transient:x" not in flow.hash("flow")
