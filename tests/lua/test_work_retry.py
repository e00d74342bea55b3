"""work_retry: what comes after a controller starts anew, then the controller runs."""

from __future__ import annotations

import pytest

from tests.support.flow_rules import broken_rules


def until_retry(flow, *names):
    """Start ?r -> a -> names; a fails, and its flow is to be tried again."""
    flow.line("?r", "a", *names).start("w1")
    flow.start("w2")
    flow.complete(flow.take().item, payload="1")
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item, how="RETRY ?r")
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    return flow, flow.take().item


@pytest.fixture
def retried(flow):
    """Return the flow ?r -> a -> b, and the item to try it again."""
    return until_retry(flow, "b")


def test_first_all_that_comes_after_it_is_put_back(retried):
    """PLANNED: the controller waits, its intention tells that the plan is set out."""
    flow, item = retried
    rev = flow.rev
    assert (item.id, item.old_state) == ("00000001:retry", "SUCCESS")

    assert flow.retry(item) == ["PLANNED", rev, rev + 1]

    atom = {"state": "RETRYING", "intention": "EXECUTE", "owner": "w1"}
    assert flow.atom("?r").items() >= atom.items()
    assert flow.hash("plan").items() >= {"walk": "again", "frontier": "1@1"}.items()
    assert flow.claims() == {item.id: "w1"}
    assert broken_rules(flow) == []
    flow.step()
    assert flow.states() == {"?r": "RETRYING", "a": "PENDING", "b": "PENDING"}
    assert {flow.atom(name)["intention"] for name in ("a", "b")} == {"EXECUTE"}
    assert flow.hash("missing") == {"2": "1", "3": "1", "4": "1"}
    assert flow.members("ready") == []
    assert broken_rules(flow) == []


def test_then_the_controller_runs(retried):
    """OK: a round more, the same claim; its result is another entry of the history."""
    flow, item = retried
    flow.retry(item)
    flow.step()
    rev = flow.rev

    assert flow.retry(item) == ["OK", rev, rev + 1, 2]

    atom = {"state": "RUNNING", "owner": "w1", "round": "2", "token": item.token}
    assert flow.atom("?r").items() >= atom.items()
    assert flow.claims() == {item.id: "w1"}
    (entry,) = flow.journal(since=rev)
    assert (entry["from"], entry["to"]) == ("RETRYING", "RUNNING")
    assert broken_rules(flow) == []
    assert flow.complete(item, payload="2", capacity=1).what == ["execute a"]
    assert flow.result("?r").items() >= {"entry:1": "1", "entry:2": "2"}.items()
    assert flow.drive() == ["execute a", "execute b", "SUCCESS"]
    assert flow.atom("a")["round"] == "2"
    assert broken_rules(flow) == []


def test_repeated_calls_get_the_same_answer(retried):
    """PLANNED while the plan is on, OK while it runs: nothing is changed twice."""
    flow, item = retried
    flow.retry(item)
    rev, before = flow.rev, flow.contents()
    assert flow.retry(item) == ["PLANNED", rev, rev]
    assert flow.contents() == before

    flow.step()
    flow.retry(item)
    rev, before = flow.rev, flow.contents()
    assert flow.retry(item) == ["OK", rev, rev, 2]
    assert flow.contents() == before


def test_call_after_its_result_is_stale(retried):
    """STALE: a request that was held up does not start another try."""
    flow, item = retried
    flow.do(item)
    before = flow.contents()

    assert flow.retry(item) == ["STALE"]
    assert flow.contents() == before


@pytest.mark.parametrize("calls", [0, 1, 2, 3])
def test_another_worker_takes_it_up_at_any_moment(retried, calls):
    """STALE for the one who lost it; what comes after starts anew all the same."""
    flow, item = retried
    for call in range(calls):
        if call == 1:
            flow.step("w1")
        else:
            flow.retry(item)
    flow.sweep(dead="w1")
    if flow.hash("plan"):
        flow.step("w2")
    again = flow.take("w2").item
    before = flow.contents()

    assert flow.retry(item) == ["STALE"]
    assert flow.contents() == before
    assert broken_rules(flow) == []
    flow.do(again, "w2")
    assert flow.drive("w2") == ["execute a", "execute b", "SUCCESS"]
    assert broken_rules(flow) == []


def test_wide_flow_is_put_back_in_parts(flow):
    """PLANNED until the last part is done, whoever does it."""
    flow.layers(["?r"], ["a"], [f"t{number}" for number in range(450)]).start()
    flow.complete(flow.take().item)
    flow.complete(flow.take().item, "FAILURE")
    flow.resolve(flow.take().item, how="RETRY ?r")
    flow.step()
    flow.complete(flow.take().item, "REVERTED")
    item = flow.take().item
    flow.retry(item)
    answers = []
    while flow.call("plan_step", who="w2")[0] == "MORE":
        answers.append(flow.retry(item)[0])

    assert set(answers) == {"PLANNED"}
    assert flow.retry(item)[0] == "OK"
    assert set(flow.states().values()) == {"RUNNING", "PENDING"}
    assert broken_rules(flow) == []


def test_atom_that_does_not_exist_has_no_claim(retried):
    """STALE: nothing is changed."""
    flow, item = retried
    before = flow.contents()

    claim = {"worker": "w1", "token": item.token, "item": item.id}
    assert flow.on("d", "work_retry", **claim) == ["STALE"]
    assert flow.contents() == before
