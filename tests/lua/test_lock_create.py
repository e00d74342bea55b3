"""lock_create: a lock that nobody holds, with all its keys."""

from __future__ import annotations

import pytest

from redisflow.errors import CorruptKey


def test_created_lock_is_free_and_has_all_its_keys(lock):
    """CREATED: four keys, kept in existence by a sentinel, and nobody in them."""
    assert lock.fields["held"] == ""
    assert (lock.inside, lock.queue, lock.owners) == ([], [], {})
    keys = (lock.keys.lock_readers, lock.keys.lock_queue, lock.keys.lock_owners)
    assert lock.client.execute("EXISTS", *keys) == len(keys)


def test_lock_that_exists_is_left_alone(lock):
    """EXISTS: who holds it goes on holding it."""
    lock.acquire("p:1")

    assert lock.call("lock_create") == ["EXISTS"]
    assert lock.writer == "p:1"


@pytest.mark.parametrize("name", ["lock_readers", "lock_queue", "lock_owners"])
def test_what_a_lost_lock_left_behind_is_not_adopted(lock, name):
    """A key without its lock is named, and nothing is created around it."""
    left = getattr(lock.keys, name)
    others = {
        getattr(lock.keys, f"lock{end}")
        for end in ("_readers", "_queue", "_owners", "")
    }
    lock.client.execute("DEL", *others - {left})

    with pytest.raises(CorruptKey) as caught:
        lock.call("lock_create")

    assert caught.value.key == left
    assert not lock.client.execute("EXISTS", lock.keys.lock)
