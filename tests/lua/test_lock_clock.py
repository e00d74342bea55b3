"""The lock at chosen moments of the server's clock."""

from __future__ import annotations

import pytest

from redisflow.errors import LeaseLost, Locked
from redisflow.scripts import FlowScripts, catalogue
from tests.support.locks import ScriptedLock, at_time

T = 1_800_000_000_000
HOUR = 3_600_000


@pytest.mark.parametrize("does", ["writes", "reads"])
def test_lease_ends_at_its_deadline_for_everybody(lock, does):
    """The millisecond before it is held, from then on it is not: never by two."""
    lock.now_ms = T
    lock.acquire("p:1", does, lease_ms=1000)

    lock.now_ms = T + 999
    assert lock.acquire("p:2", wait_ms=0) == ["BUSY", 1]
    lock.now_ms = T + 1000
    assert lock.acquire("p:2", wait_ms=0)[0] == "HELD"
    assert lock.extend("p:1") == ["LOST"]
    assert lock.release("p:1") == "LOST"


@pytest.mark.parametrize("after_ms", [998, 999, 1000, 1001])
def test_either_the_holder_writes_or_others_do(flow, after_ms):
    """At each moment around the deadline exactly one of them may change the flow."""
    flow.create()
    lock = ScriptedLock.of(flow)
    lock.now_ms = T
    _, fence = lock.acquire("p:1", lease_ms=1000)

    def may_write(fence):
        scripts = FlowScripts(flow.client, flow.keys)
        script = at_time(catalogue()["flow_update"], T + after_ms)
        bound = scripts._bind("flow_update")._replace(script=script)
        scripts._bound["flow_update"] = bound
        try:
            return scripts.call("flow_update", rest=["x", "1"], fence=fence).status
        except (LeaseLost, Locked) as error:
            return type(error).__name__

    answers = may_write(str(fence)), may_write("")

    assert answers == (("OK", "Locked") if after_ms < 1000 else ("LeaseLost", "OK"))


def test_clock_that_jumps_ahead_ends_leases_early_and_harmlessly(lock):
    """The next one is in with a greater fence; the first one is told."""
    lock.now_ms = T
    _, fence = lock.acquire("p:1", lease_ms=15_000)
    lock.now_ms = T + HOUR

    status, new = lock.acquire("p:2")

    assert (status, lock.extend("p:1")) == ("HELD", ["LOST"])
    assert new > fence


def test_clock_that_jumps_back_makes_nobody_wait_less_than_nothing(lock):
    """Waits are not negative, fences rise all the same, a new lease has its length."""
    lock.now_ms = T
    _, fence = lock.acquire("p:1", lease_ms=15_000)
    lock.now_ms = T - HOUR
    status, ms, _ticket = lock.acquire("p:2", wait_ms=3_000)
    assert (status, ms) == ("QUEUED", HOUR + 15_000)
    assert lock.extend("p:1", lease_ms=15_000)[0] == "OK"
    assert lock.acquire("p:2", wait_ms=3_000)[:2] == ["QUEUED", 15_000]

    lock.release("p:1")

    assert lock.acquire("p:2") == ["HELD", fence + 1]
    assert lock.call("lock_list")[3][0][2] == fence + 1


def test_age_is_never_negative(lock):
    """Someone who came in the future has been in for no time."""
    lock.now_ms = T
    lock.acquire("p:1", "reads")
    lock.now_ms = T - HOUR
    _, now, _, ((_, _, since, _, _),), _ = lock.call("lock_list")
    assert since > now


def test_dead_waiter_is_passed_over_when_its_time_is_up(lock):
    """Heard of until then, it is let in; and loses the lock when it stays silent."""
    lock.now_ms = T
    lock.acquire("p:1", lease_ms=10_000)
    lock.acquire("dead:1", wait_ms=3_000)
    lock.acquire("dead:2", wait_ms=3_000)
    lock.acquire("p:2", wait_ms=60_000)
    lock.now_ms = T + 2_999
    lock.release("p:1")
    assert lock.writer == "dead:1"

    lock.now_ms += 3_000

    assert lock.acquire("p:2", wait_ms=60_000)[0] == "HELD"
    assert lock.queue == []
