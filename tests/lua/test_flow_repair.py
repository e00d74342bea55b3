"""flow_repair: what is derived is computed anew, for one revision of the flow."""

from __future__ import annotations

from tests.support.flow_rules import broken_rules
from tests.support.flow_view import uuid_of
from tests.support.flows import repair


def test_order_of_changes_is_that_of_the_records(flow):
    """OK: wrong places are put right, what is no atom leaves, and it is journaled."""
    flow.line("a", "b").start()
    rev = flow.rev
    flow.client.execute("ZADD", flow.keys.changes, 999, uuid_of("a"), 3, "stranger")
    flow.client.execute("ZREM", flow.keys.changes, uuid_of("b"))

    done = repair(flow, [uuid_of("a"), uuid_of("b"), "stranger"])

    assert done == ["OK", rev + 1]
    assert broken_rules(flow) == []
    entry = flow.journal()[-1]
    assert entry.items() >= {"repaired": "changes", "worker": "operator"}.items()
    assert entry["reason"] == "because"
    assert (entry["from"], entry["to"]) == ("RUNNING", "RUNNING")


def test_counts_are_those_of_the_claims_and_the_caller(flow):
    """OK: claims are counted here, unfinished atoms by the caller."""
    flow.fan("a", "b").start()
    flow.take(capacity=2)
    flow.client.execute("HSET", flow.keys.claims, "#w1", 7, "#ghost", 1)
    flow.client.execute("HSET", flow.keys.flow, "unfinished", 9, "planned", 1)

    assert repair(flow, unfinished=2)[0] == "OK"

    assert broken_rules(flow) == []
    assert flow.hash("claims")["#w1"] == "2"


def test_sentinels_come_back(flow):
    """OK: collections that are gone are there again, empty."""
    flow.line("a").start()
    for name in ("idle", "plan", "reached", "lock_queue"):
        flow.client.execute("DEL", getattr(flow.keys, name))

    assert repair(flow)[0] == "OK"

    assert broken_rules(flow) == []


def test_readiness_is_counted_in_a_plan(flow):
    """OK: with recount, the plan offers what nothing holds back, and no more."""
    flow.line("a", "b").start()
    flow.client.execute("ZREM", flow.keys.ready, *flow.members("ready"))
    flow.client.execute("HSET", flow.keys.missing, 2, 5)

    assert repair(flow, recount=1)[0] == "OK"
    flow.step()

    assert broken_rules(flow) == []
    assert flow.drive() == ["execute a", "execute b", "SUCCESS"]


def test_sent_again_it_changes_nothing(flow):
    """MOVED: it holds for the revision at which the flow was looked at."""
    flow.line("a").start()
    rev = flow.rev
    repair(flow)
    before = flow.contents()

    assert repair(flow, rev=rev) == ["MOVED"]
    assert flow.contents() == before
