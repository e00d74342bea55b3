"""flow_unlock: as lock_break, and the flow's journal tells of it."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules
from tests.support.locks import ScriptedLock


def test_journal_tells_who_was_put_out_and_why(flow):
    """OK: one entry, in the state that the flow is in, with a revision of its own."""
    flow.line("a").start()
    lock = ScriptedLock.of(flow)
    lock.acquire("p:1", "reads")
    lock.acquire("p:2", "reads")
    rev = flow.rev

    assert lock.break_holders("flow_unlock") == ["OK", ["p:1", "p:2"]]

    entry = flow.journal()[-1]
    assert entry["from"] == entry["to"] == "RUNNING"
    assert (entry["worker"], entry["reason"]) == ("operator", "stuck")
    assert (entry["unlocked"], entry["rev"]) == ("p:1 p:2", str(rev + 1))
    assert flow.rev == rev + 1
    assert broken_rules(flow) == []


def test_nobody_put_out_is_nothing_to_tell(flow):
    """OK with nobody, and no entry."""
    flow.line("a").start()
    before = flow.journal()

    assert ScriptedLock.of(flow).break_holders("flow_unlock") == ["OK", []]
    assert flow.journal() == before
