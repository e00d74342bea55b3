"""import_finish: the flow is there, all at once, and its journal says from where."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules
from tests.support.flow_view import uuid_of

FLOW = {
    "name": "nightly",
    "state": "SUSPENDED",
    "run": 2,
    "rev": 9,
    "schema": 1,
    "ended": 2,
    "epoch": 3,
    "unfinished": 0,
    "halt": 0,
    "resolving": "",
    "reverting": 0,
    "never_resolve": 0,
    "planned": 0,
    "declined": 0,
    "updated_at": 5,
    "uuid": "F1",
    "book": "",
    "created_at": 4,
    "server": "old",
}
FIELDS = [word for pair in FLOW.items() for word in pair]
ATOM = {
    "name": "a",
    "state": "PENDING",
    "intention": "EXECUTE",
    "rev": 8,
    "node": "",
    "owner": "",
    "round": 0,
    "token": "",
    "type": "task",
    "version": "1.0",
    "place": 1,
}
COUNTS = {"names": 1, "records": 1, "entries": 2}


def event(entry: str, rev: int, atom: str, to: str, intention: str) -> list[object]:
    """Write an entry of the journal as import_save takes it."""
    fields = {"rev": rev, "epoch": 1, "atom": atom, "from": "", "to": to}
    fields |= {"intention": intention, "worker": "me", "attempt": 0}
    return ["event", entry, 16, *(word for pair in fields.items() for word in pair)]


@pytest.fixture
def brought(flow):
    """Bring all of a flow but its own hash."""
    flow.call("import_begin")
    fields = [word for pair in ATOM.items() for word in pair]
    words = ["atom", uuid_of("a"), len(fields), *fields, "atoms", "", 2, "a"]
    words += [uuid_of("a"), *event("5-0", 1, "", "SUSPENDED", "")]
    words += event("6-0", 8, uuid_of("a"), "PENDING", "EXECUTE")
    flow.call("import_save", rest=words)
    return flow


def test_flow_is_there_in_another_epoch(brought):
    """OK: rev goes on from the server's clock; who brought it, and from where."""
    status, rev = brought.call("import_finish", rest=FIELDS, **COUNTS)

    flow = brought.hash("flow")
    assert (status, flow["rev"], flow["epoch"]) == ("OK", str(rev), "4")
    assert rev > 1_600_000_000_000_000
    assert flow["server"] not in ("", "old")
    assert (flow["imported"], brought.hash("plan")) == ("import-1", {})
    entry = brought.journal()[-1]
    told = {"act": "import", "reason": "a file", "worker": "somebody", "epoch": "4"}
    assert entry.items() >= told.items()
    assert entry["rev"] == str(rev)
    assert broken_rules(brought) == []


def test_revision_from_the_future_is_not_taken_back(brought):
    """OK: a server whose clock was ahead has given later revisions."""
    ahead = 8 * 10**15
    words = [word for pair in {**FLOW, "rev": ahead}.items() for word in pair]

    assert brought.call("import_finish", rest=words, **COUNTS) == ["OK", ahead + 1]


def test_sent_again_it_changes_nothing(brought):
    """OK with the revision, by the import that the flow came by."""
    first = brought.call("import_finish", rest=FIELDS, **COUNTS)
    before = brought.contents()

    assert brought.call("import_finish", rest=FIELDS, **COUNTS) == first
    assert brought.contents() == before


def test_another_flow_is_left_alone(brought):
    """EXISTS for an import that the flow has not come by."""
    brought.call("import_finish", rest=FIELDS, **COUNTS)
    before = brought.contents()

    reply = brought.call("import_finish", rest=FIELDS, id="other", **COUNTS)

    assert reply == ["EXISTS", "nightly"]
    assert brought.contents() == before


@pytest.mark.parametrize(
    "other",
    [{"id": "x"}, {"names": 2}, {"records": 0}, {"links": 1}, {"entries": 3}],
    ids=str,
)
def test_what_is_not_whole_does_not_come_to_be(brought, other):
    """STALE: somebody has removed a part, or all of it."""
    before = brought.contents()

    reply = brought.call("import_finish", rest=FIELDS, **{**COUNTS, **other})

    assert reply == ["STALE"]
    assert brought.contents() == before
