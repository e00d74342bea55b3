"""retry_clear: a retry's history is removed, and nothing else of it."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def retries(flow):
    """Return a flow with the retry ?r, which has a history and has failed, and a."""
    flow.create()
    flow.ensure("?r", "a")
    save(flow, 1, "SUCCESS")
    args = {"owner": "me", "op_id": 2, "keep_ms": 60_000}
    flow.on("?r", "retry_fail", failed="a", **args)
    save(flow, 3, "FAILURE")
    return flow


def save(flow, op_id, state):
    """Save a result of ?r."""
    args = {"owner": "me", "op_id": op_id, "keep_ms": 60_000}
    flow.on("?r", "retry_save", state=state, payload="1", **args)


def clear(flow, op_id, state="REVERTED", owner="me"):
    """Remove the history of ?r."""
    args = {"owner": owner, "op_id": op_id, "keep_ms": 60_000}
    return flow.on("?r", "retry_clear", state=state, **args)


def test_history_is_removed_and_all_else_stays(retries):
    """OK: the failure of the retry itself stays; the next entry is the first again."""
    assert clear(retries, 4) == ["OK", "FAILURE", 6, 7]

    assert set(retries.result("?r")) == {"failure"}
    atom = retries.atom("?r")
    assert (atom["state"], atom["entries"], atom["failed"]) == ("REVERTED", "0", "E")
    save(retries, 5, "SUCCESS")
    assert set(retries.result("?r")) == {"entry:1"}
    assert broken_rules(retries) == []


def test_request_sent_again_spares_what_came_since(retries):
    """REPEATED: an entry that another has appended meanwhile is not removed."""
    clear(retries, 4)
    args = {"owner": "you", "op_id": 1, "keep_ms": 60_000}
    retries.on("?r", "retry_save", state="SUCCESS", payload="1", **args)
    before = retries.contents()

    assert clear(retries, 4) == ["REPEATED", 8]
    assert retries.contents() == before


def test_held_retry_keeps_its_history(flow):
    """HELD: its owner is named, and nothing is changed."""
    flow.line("?r", "a").start()
    flow.take()
    before = flow.contents()

    assert clear(flow, 1) == ["HELD", "w1"]
    assert flow.contents() == before


def test_what_is_no_retry_is_unknown(retries):
    """UNKNOWN: neither a task nor an atom that does not exist has a history."""
    before = retries.contents()

    for name in ("a", "c"):
        args = {"state": "PENDING", "owner": "me", "op_id": 9, "keep_ms": 1}
        assert retries.on(name, "retry_clear", **args) == ["UNKNOWN"]
    assert retries.contents() == before


def test_running_flow_goes_on_from_the_new_state(flow):
    """What is derived follows: the retry is offered again, and what comes after it."""
    flow.line("?r", "a").start()
    flow.complete(flow.take().item)

    clear(flow, 1, state="PENDING")
    flow.step()

    assert flow.drive() == ["execute ?r", "execute a", "SUCCESS"]
    assert broken_rules(flow) == []
