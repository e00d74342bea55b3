"""worker_heartbeat: a lease is renewed, or was lost."""

from __future__ import annotations


def test_lease_is_renewed(flow):
    """OK -1: the deadline moves, and there is nobody else to look after."""
    flow.line("a").start(lease_ms=1000)
    before = flow.scores("workers")["w1"]

    reply = flow.call("worker_heartbeat", worker="w1", lease_ms=60_000)

    assert reply == ["OK", -1]
    assert 58_000 < flow.scores("workers")["w1"] - before < 120_000


def test_end_of_the_next_lease_is_told(flow):
    """OK wait_ms: when the first of the other leases will be over."""
    flow.line("a").start("w1")
    flow.start("w2", lease_ms=50_000)
    flow.start("w3", lease_ms=90_000)

    status, wait_ms = flow.call("worker_heartbeat", worker="w1")

    assert status == "OK"
    assert 20_000 < wait_ms <= 50_000


def test_lease_that_is_over_is_told_as_no_wait(flow):
    """OK 0: somebody is to be swept now."""
    flow.line("a").start("w1")
    flow.start("w2")
    flow.lapse("w2")

    assert flow.call("worker_heartbeat", worker="w1") == ["OK", 0]


def test_member_that_was_swept_away_has_lost(flow):
    """LOST: it does not become a member again by a heartbeat."""
    flow.line("a").start("w1")
    flow.start("w2")
    flow.sweep(dead="w1")
    before = flow.contents()

    assert flow.call("worker_heartbeat", worker="w1") == ["LOST"]
    assert flow.contents() == before


def test_late_heartbeat_before_the_sweep_saves_the_lease(flow):
    """OK: as long as nobody took its items, a stalled worker goes on."""
    flow.line("a").start("w1")
    item = flow.take().item
    flow.lapse("w1")

    assert flow.call("worker_heartbeat", worker="w1") == ["OK", -1]
    assert flow.sweep() == ["NONE"]
    assert flow.complete(item).state == "RUNNING"


def test_member_of_a_run_that_is_over_has_lost_nothing(flow):
    """ENDED: its lease went with the run, also once the next one is on."""
    flow.line("a").start("w1")
    flow.start("w2")
    assert flow.drive()[-1] == "SUCCESS"

    assert flow.call("worker_heartbeat", worker="w2") == ["ENDED"]
    flow.start("w1", run=2)
    before = flow.contents()
    assert flow.call("worker_heartbeat", worker="w2", run=1) == ["ENDED"]
    assert flow.contents() == before
