"""lock_list: who holds the lock, who waits, and since when."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey


def test_writer_and_queue(lock):
    """OK: the writer with its lease, the waiters in their order."""
    lock.acquire("p:1", lease_ms=10_000)
    lock.acquire("p:3", "reads")
    lock.acquire("p:2")

    status, now, fence, holders, waiters = lock.call("lock_list")

    assert (status, fence) == ("OK", lock.fence)
    ((owner, does, since, deadline, who),) = holders
    assert (owner, does, who) == ("p:1", "writes", "host 7 thread of p:1")
    assert now - 10_000 <= since <= now < deadline <= now + 10_000
    assert [(row[0], row[1]) for row in waiters] == [
        ("p:3", "awaits-read"),
        ("p:2", "awaits-write"),
    ]


def test_readers(lock):
    """Each of them, with its own lease."""
    lock.acquire("p:1", "reads")
    lock.acquire("p:2", "reads")

    holders = lock.call("lock_list")[3]

    assert [(row[0], row[1]) for row in holders] == [("p:1", "reads"), ("p:2", "reads")]


def test_free_lock(lock):
    """Nobody, and nobody."""
    assert lock.call("lock_list")[3:] == [[], []]


def test_owner_that_nothing_is_known_of_is_corrupt(lock):
    """The key that lacks it is named."""
    lock.acquire("p:1", "reads")
    lock.client.execute("HDEL", lock.keys.lock_owners, "p:1")

    with pytest.raises(CorruptKey) as caught:
        lock.call("lock_list")

    assert caught.value.key == lock.keys.lock_owners
