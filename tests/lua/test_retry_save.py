"""retry_save: a retry's results are appended, each request once."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def retries(flow):
    """Return a flow with the retry ?r and the task a, and no run."""
    flow.create()
    flow.ensure("?r", "a")
    return flow


def save(flow, op_id, payload="1", **args):
    """Save a result of ?r."""
    usual = {"state": "SUCCESS", "owner": "me", "keep_ms": 60_000}
    return flow.on("?r", "retry_save", payload=payload, op_id=op_id, **usual | args)


def test_results_are_appended(retries):
    """OK: each result is a field of its own, which a person can read."""
    assert save(retries, 1, '"first"') == ["OK", "PENDING", 3, 4]
    assert save(retries, 2, '"second"', owner="you") == ["OK", "SUCCESS", 4, 5]

    assert retries.result("?r") == {"entry:1": '"first"', "entry:2": '"second"'}
    atom = retries.atom("?r")
    assert (atom["state"], atom["entries"], atom["failed"]) == ("SUCCESS", "2", "")
    assert broken_rules(retries) == []


def test_request_sent_again_is_not_carried_out_again(retries):
    """REPEATED: the lost reply is given again in essence, and nothing is changed."""
    save(retries, 1)
    before = retries.contents()

    assert save(retries, 1) == ["REPEATED", 4]
    assert retries.contents() == before


def test_two_callers_that_take_turns_are_told_apart(retries):
    """REPEATED: what one has asked last is known whatever the others did since."""
    save(retries, 7, '"mine"')
    save(retries, 7, '"yours"', owner="you")
    save(retries, 8, '"yours again"', owner="you")
    before = retries.contents()

    assert save(retries, 7, '"mine"')[0] == "REPEATED"
    assert save(retries, 8, '"yours again"', owner="you")[0] == "REPEATED"
    assert retries.contents() == before
    assert list(retries.result("?r")) == ["entry:1", "entry:2", "entry:3"]


def test_request_that_comes_after_the_next_one_is_not_carried_out(retries):
    """REPEATED: its caller has long gone on; nobody waits for it any more."""
    save(retries, 1, '"first"')
    save(retries, 2, '"second"')
    before = retries.contents()

    assert save(retries, 1, '"first"')[0] == "REPEATED"
    assert retries.contents() == before


def test_requests_are_remembered_as_long_as_they_can_be_sent_again(retries):
    """Of each caller the last request is kept, until it cannot be sent again."""
    save(retries, 1, owner="gone", keep_ms=-1)
    save(retries, 1, owner="me")
    save(retries, 2, owner="me")

    words = retries.atom("?r")["requests"].split()
    assert words[:2] == ["me", "2"]
    assert len(words) == 3


def test_other_results_stand_beside_the_history(retries):
    """Each state keeps and drops what TaskFlow's own details keep and drop."""
    seen = {}
    wanted = ("SUCCESS", "FAILURE", "REVERTED", "REVERT_FAILURE", "SUCCESS")
    for number, state in enumerate(wanted):
        save(retries, number, state=state)
        seen[state] = (set(retries.result("?r")), retries.atom("?r")["failed"])

    assert seen["FAILURE"] == ({"entry:1", "failure"}, "E")
    assert seen["REVERTED"] == ({"entry:1", "failure", "revert_results"}, "EV")
    assert seen["REVERT_FAILURE"] == ({"entry:1", "failure", "revert_failure"}, "ER")
    assert seen["SUCCESS"] == ({"entry:1", "entry:2"}, "")


def test_held_retry_takes_no_result_from_outside(flow):
    """STALE: its owner is named, and nothing is changed."""
    flow.line("?r", "a").start()
    flow.take()
    before = flow.contents()

    assert save(flow, 1) == ["STALE", "w1"]
    assert flow.contents() == before


def test_what_is_no_retry_is_unknown(retries):
    """UNKNOWN: neither a task nor an atom that does not exist is given a history."""
    before = retries.contents()

    for name in ("a", "c"):
        found = retries.on(
            name, "retry_save", state="SUCCESS", owner="me", op_id=1, keep_ms=1
        )
        assert found == ["UNKNOWN"]
    assert retries.contents() == before


def test_running_flow_goes_on_from_a_saved_result(flow):
    """What is derived follows: the next atom is offered."""
    flow.line("?r", "a").start()

    save(flow, 1)
    flow.step()

    assert flow.drive() == ["execute a", "SUCCESS"]
    assert broken_rules(flow) == []
