"""retry_fail: which atoms have failed since a retry's last result."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def retries(flow):
    """Return a flow with the retry ?r, whose history has one entry, and the task a."""
    flow.create()
    flow.ensure("?r", "a")
    append(flow, 1)
    return flow


def append(flow, op_id):
    """Append a result to the history of ?r."""
    args = {"owner": "saver", "op_id": op_id, "keep_ms": 60_000}
    flow.on("?r", "retry_save", state="SUCCESS", payload="1", **args)


def fail(flow, op_id, failed="a", payload="1", owner="me"):
    """Note that an atom has failed."""
    return flow.on(
        "?r",
        "retry_fail",
        failed=failed,
        payload=payload,
        owner=owner,
        op_id=op_id,
        keep_ms=60_000,
    )


def test_failures_stand_beside_the_last_entry(retries):
    """OK: each failure is a field of its own; the entry that it is in is told."""
    assert fail(retries, 1) == ["OK", 4, 5, 1]
    assert fail(retries, 2, failed="b:c") == ["OK", 5, 6, 1]
    append(retries, 2)
    assert fail(retries, 3) == ["OK", 7, 8, 2]

    assert set(retries.result("?r")) == {
        "entry:1",
        "entry:1:failure:a",
        "entry:1:failure:b:c",
        "entry:2",
        "entry:2:failure:a",
    }
    assert retries.atom("?r")["state"] == "SUCCESS"
    assert broken_rules(retries) == []


def test_first_failure_of_an_atom_stays(retries):
    """SAME: another one is left out, and nothing is changed."""
    fail(retries, 1, payload="1")
    before = retries.contents()

    assert fail(retries, 2, payload="2", owner="you") == ["SAME"]
    assert retries.contents() == before


def test_request_sent_again_does_not_reach_a_later_entry(retries):
    """REPEATED: a failure that was noted is not noted again in another's new entry."""
    fail(retries, 1)
    append(retries, 2)
    before = retries.contents()

    assert fail(retries, 1) == ["REPEATED", 6]
    assert retries.contents() == before


def test_history_without_entries_takes_no_failure(flow):
    """EMPTY: there is nothing that it could belong to."""
    flow.create()
    flow.ensure("?r")
    before = flow.contents()

    assert fail(flow, 1) == ["EMPTY"]
    assert flow.contents() == before


def test_what_is_no_retry_is_unknown(retries):
    """UNKNOWN: neither a task nor an atom that does not exist has a history."""
    before = retries.contents()

    for name in ("a", "c"):
        args = {"failed": "b", "owner": "me", "op_id": 1, "keep_ms": 1}
        assert retries.on(name, "retry_fail", **args) == ["UNKNOWN"]
    assert retries.contents() == before
