"""lock_extend: a lease goes on, unless it is over."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize("does", ["writes", "reads"])
def test_lease_goes_on(lock, does):
    """OK, with the number of those who wait; the deadline is the new one."""
    lock.acquire("p:1", does, lease_ms=1_000)
    lock.acquire("p:2")

    assert lock.extend("p:1", lease_ms=90_000) == ["OK", 1]
    (holder,) = lock.call("lock_list")[3]
    assert holder[3] - lock.call("lock_list")[1] > 80_000


@pytest.mark.parametrize("does", ["writes", "reads"])
def test_lease_that_is_over_is_not_revived(lock, does):
    """LOST: and the next in the queue is in."""
    lock.acquire("p:1", does)
    lock.acquire("p:2")
    lock.lapse("p:1")

    assert lock.extend("p:1") == ["LOST"]
    assert lock.inside == ["p:2"]


def test_section_before_is_not_taken_for_this_one(lock):
    """LOST: the server has gone back to an earlier section of the same owner."""
    lock.acquire("p:1")

    assert lock.extend("p:1", fence=lock.fence + 1) == ["LOST"]
    assert lock.extend("p:1") == ["OK", 0]


def test_fence_is_a_writers(lock):
    """OK: a reader is in with whatever fence the last writer had."""
    lock.acquire("p:1", "reads")

    assert lock.extend("p:1", fence=lock.fence + 1) == ["OK", 0]


def test_renewal_after_the_release_creates_nothing(lock):
    """LOST: a heartbeat that comes too late finds nothing to renew."""
    lock.acquire("p:1")
    lock.release("p:1")

    assert lock.extend("p:1") == ["LOST"]
    assert lock.inside == []


def test_at_its_deadline_a_lease_is_over(lock):
    """At that very millisecond of the server, for the holder as for the others."""
    lock.acquire("p:1")
    now = lock.call("lock_list")[1]
    for deadline in (now - 1, now):
        lock.client.execute("HSET", lock.keys.lock, "held", "write", "writer", "p:1")
        lock.client.execute("HSET", lock.keys.lock, "deadline", deadline)
        assert lock.extend("p:1") == ["LOST"]
