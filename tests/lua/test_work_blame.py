"""work_blame: what a controller is about to be asked about stands in its history."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


@pytest.fixture
def failed(flow):
    """Return a flow ?r -> a -> b whose a has failed, and the item to resolve it."""
    flow.line("?r", "a", "b").start("w1")
    flow.start("w2")
    flow.complete(flow.take("w1").item, payload="1")
    flow.complete(flow.take("w1").item, "FAILURE", payload='"why"')
    return flow, flow.take("w1").item


def blame(flow, item, worker="w1", *, payload='"why"', of="?r", failed="a"):
    """Note the failure of an atom in the history of a controller."""
    claim = {"worker": worker, "token": item.token, "item": item.id}
    return flow.on(of, "work_blame", **claim, failed=failed, payload=payload)


def test_failure_stands_beside_the_last_entry(failed):
    """OK: a field of the history and a revision; no transition, the claim stays."""
    flow, item = failed
    rev, journal, atom = flow.rev, flow.journal(), flow.atom("?r")

    assert blame(flow, item) == ["OK", rev, rev + 1]

    assert flow.result("?r") == {"entry:1": "1", "entry:1:failure:a": '"why"'}
    assert flow.atom("?r") == {**atom, "rev": str(rev + 1)}
    assert flow.rev == rev + 1
    assert flow.scores("changes")["?r-uuid"] == rev + 1
    assert flow.journal() == journal
    assert flow.claims() == {item.id: "w1"}
    assert broken_rules(flow) == []


def test_first_failure_of_an_atom_stays(failed):
    """OK: the same request again, or another failure, leaves all as it is."""
    flow, item = failed
    blame(flow, item)
    rev, before = flow.rev, flow.contents()

    for payload in ('"why"', '"other"'):
        assert blame(flow, item, payload=payload) == ["OK", rev, rev]
    assert flow.contents() == before


def test_each_try_has_failures_of_its_own(failed):
    """OK: after another try the failure is noted in the new entry."""
    flow, item = failed
    blame(flow, item, payload='"one"')
    flow.resolve(item, how="RETRY ?r")
    outcomes = {"execute a": "FAILURE"}
    done = []
    while done[-2:] != ["retry ?r", "execute a"]:
        handout = flow.take()
        if not handout.items:
            flow.step()
        for item in handout.items:
            done.append(str(item))
            flow.do(item, state=outcomes.get(str(item)))

    assert blame(flow, flow.take().item, payload='"two"')[0] == "OK"

    assert set(flow.result("?r")) >= {"entry:1:failure:a", "entry:2:failure:a"}
    assert flow.result("?r")["entry:2:failure:a"] == '"two"'


def test_late_blame_is_stale(failed):
    """STALE: another worker resolves the failure by now, and nothing is changed."""
    flow, item = failed
    flow.sweep(dead="w1")
    again = flow.take("w2").item
    before = flow.contents()

    assert blame(flow, item, "w1") == ["STALE"]
    assert blame(flow, item, "w2") == ["STALE"]
    assert flow.contents() == before
    assert blame(flow, again, "w2")[0] == "OK"


def test_blame_after_the_decision_is_stale(failed):
    """STALE: a request that was held up does not reach a later try."""
    flow, item = failed
    flow.resolve(item)
    before = flow.contents()

    assert blame(flow, item) == ["STALE"]
    assert flow.contents() == before


@pytest.mark.parametrize("name", ["a", "c"])
def test_what_is_no_retry_is_not_blamed(failed, name):
    """STALE: neither a task nor an atom that does not exist has a history."""
    flow, item = failed
    before = flow.contents()

    assert blame(flow, item, of=name) == ["STALE"]
    assert flow.contents() == before


def test_history_without_entries_takes_no_failure(failed):
    """EMPTY: nothing is changed."""
    flow, item = failed
    args = {"owner": "me", "op_id": 1, "keep_ms": 60_000}
    flow.on("?r", "retry_clear", state="SUCCESS", **args)
    before = flow.contents()

    assert blame(flow, item) == ["EMPTY"]
    assert flow.contents() == before
