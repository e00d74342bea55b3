"""lock_acquire: in at once, in the queue, or refused; and safe to send again."""

from __future__ import annotations

import pytest

from redisflow.errors import NotFound, Unavailable
from tests.support.eventually import eventually


def test_free_lock_is_had_at_once(lock):
    """HELD, with a fence, and the lock tells who it is."""
    before = lock.fence
    status, fence = lock.acquire("p:1")

    assert (status, lock.writer, lock.fence) == ("HELD", "p:1", fence)
    assert fence > before
    assert lock.fields["who"] == "host 7 thread of p:1"


def test_request_sent_again_renews_and_changes_nothing_else(lock):
    """HELD with the same fence; and one release is enough."""
    first = lock.acquire("p:1", lease_ms=10_000)
    deadline = int(lock.fields["deadline"])

    assert [lock.acquire("p:1", lease_ms=90_000) for _ in range(10)] == [first] * 10
    assert int(lock.fields["deadline"]) >= deadline + 80_000
    assert lock.release("p:1") == "OK"
    assert lock.inside == []


def test_fence_grows_with_every_writer_also_when_the_clock_stands(lock):
    """It is the server's time, or one more than the last if that is greater."""
    future = 1 << 50
    lock.client.execute("HSET", lock.keys.lock, "fence", future)

    assert lock.acquire("p:1") == ["HELD", future + 1]
    lock.release("p:1")
    assert lock.acquire("p:2") == ["HELD", future + 2]


def test_readers_enter_together_and_leave_the_fence(lock):
    """HELD for each; only a writer gets a new fence."""
    fence = lock.fence

    assert lock.acquire("p:1", "reads") == ["HELD", fence]
    assert lock.acquire("p:2", "reads") == ["HELD", fence]
    assert (lock.fields["held"], lock.readers) == ("read", ["p:1", "p:2"])


@pytest.mark.parametrize("does", ["writes", "reads"])
def test_behind_a_writer_everybody_waits(lock, does):
    """QUEUED, with the time in which the writer's lease ends."""
    lock.acquire("p:1", lease_ms=10_000)

    status, ms, _ticket = lock.acquire("p:2", does)

    assert (status, lock.queue) == ("QUEUED", ["p:2"])
    assert 0 < ms <= 10_000


def test_writer_waits_for_the_last_reader(lock):
    """QUEUED, with the time in which the last reader's lease ends."""
    lock.acquire("p:1", "reads", lease_ms=1_000)
    lock.acquire("p:2", "reads", lease_ms=10_000)

    status, ms, _ticket = lock.acquire("p:3")

    assert status == "QUEUED"
    assert 1_000 < ms <= 10_000


def test_reader_does_not_pass_a_writer_that_waits(lock):
    """One queue for both: nobody starves."""
    lock.acquire("p:1", "reads")
    lock.acquire("p:2")

    assert lock.acquire("p:3", "reads")[0] == "QUEUED"
    assert lock.queue == ["p:2", "p:3"]


def test_hint_tells_ticket_fence_and_length_of_the_grant(lock):
    """What QUEUED has told, and what the lock is held with: a waiter need not ask."""
    lock.acquire("p:1")
    _, _, ticket = lock.acquire("p:2", wait_ms=1_000)
    assert lock.acquire("p:2", wait_ms=3_000)[2] == ticket

    lock.release("p:1")

    assert lock.hints("p:2") == [f"{ticket} {lock.fence} 3000"]
    assert lock.acquire("p:2") == ["HELD", lock.fence]


def test_every_place_in_the_queue_has_a_ticket_of_its_own(lock):
    """A hint of an earlier wait is none of a later one, and is thrown away."""
    lock.acquire("p:1")
    first = lock.acquire("p:2", "reads")[2]
    lock.release("p:1")
    lock.release("p:2")
    lock.acquire("p:1")
    assert lock.woken("p:2")

    assert lock.acquire("p:2", "reads")[2] > first
    assert not lock.woken("p:2")


def test_waiter_that_asks_again_keeps_its_place(lock):
    """The ticket stays, the time until which it is believed to live is renewed."""
    lock.acquire("p:1")
    lock.acquire("p:2", wait_ms=1_000)
    lock.acquire("p:3")
    before = lock.owners["p:2"].split()

    assert lock.acquire("p:2", wait_ms=9_000)[0] == "QUEUED"
    after = lock.owners["p:2"].split()
    assert lock.queue == ["p:2", "p:3"]
    assert after[:2] == before[:2]
    assert int(after[2]) >= int(before[2]) + 7_000


def test_request_that_does_not_wait_is_refused(lock):
    """BUSY, also when the lock is held by readers and a writer waits; no place kept."""
    lock.acquire("p:1", "reads")

    assert lock.acquire("p:2", wait_ms=0)[0] == "BUSY"
    assert lock.queue == []
    lock.acquire("p:3")
    assert lock.acquire("p:2", "reads", wait_ms=0)[0] == "BUSY"
    assert lock.queue == ["p:3"]


def test_waiter_that_gives_up_waiting_leaves_the_queue(lock):
    """BUSY: what asked before with a place in the queue, and now without, has none."""
    lock.acquire("p:1")
    lock.acquire("p:2")

    assert lock.acquire("p:2", wait_ms=0)[0] == "BUSY"
    assert (lock.queue, lock.owners) == ([], {})


@pytest.mark.parametrize("does", ["writes", "reads"])
def test_lease_that_is_over_is_over_for_the_next(lock, does):
    """Who comes puts the dead out, and is in itself."""
    lock.acquire("p:1", does)
    fence = lock.fence
    lock.lapse("p:1")

    status, new = lock.acquire("p:2")

    assert (status, lock.inside, lock.owners) == ("HELD", ["p:2"], {})
    assert new > fence


def test_dead_waiters_at_the_head_are_passed_over_at_once(lock):
    """A thousand of them cost one call."""
    lock.acquire("p:1")
    for number in range(1000):
        lock.acquire(f"dead:{number}", wait_ms=1)
    lock.acquire("p:2")
    eventually(lambda: newest_dead_until(lock) < lock.call("lock_list")[1])

    lock.release("p:1")

    assert (lock.writer, lock.queue) == ("p:2", [])


def newest_dead_until(lock):
    """Tell until when the last of the dead is believed to live."""
    return int(lock.owners["dead:999"].split()[2])


def test_grant_that_nobody_confirms_lapses_and_goes_on(lock):
    """It lasts as long as the waiter said it would be heard of, not a whole lease."""
    lock.acquire("p:1")
    lock.acquire("p:2", wait_ms=5_000)
    lock.acquire("p:3")
    lock.release("p:1")
    assert lock.writer == "p:2"
    now = lock.call("lock_list")[1]
    assert int(lock.fields["deadline"]) <= now + 5_000

    lock.lapse("p:2")

    assert lock.acquire("p:3")[0] == "HELD"
    assert lock.acquire("p:2")[0] == "QUEUED"


def test_confirmed_grant_has_its_whole_lease(lock):
    """HELD with the fence of the grant."""
    lock.acquire("p:1")
    lock.acquire("p:2", wait_ms=100)
    lock.release("p:1")

    assert lock.acquire("p:2") == ["HELD", lock.fence]
    now = lock.call("lock_list")[1]
    assert int(lock.fields["deadline"]) > now + 50_000


def test_readers_behind_a_writer_that_gives_up_waiting_are_in(lock):
    """What it held back is let in by the same call."""
    lock.acquire("p:1", "reads")
    lock.acquire("p:2")
    lock.acquire("p:3", "reads")

    assert lock.acquire("p:2", wait_ms=0)[0] == "BUSY"
    assert lock.readers == ["p:1", "p:3"]


@pytest.mark.parametrize(("first", "then"), [("reads", "writes"), ("writes", "reads")])
def test_owner_that_asks_for_the_other_side_gives_the_first_up(lock, first, then):
    """What the client no longer knows of is not held against it."""
    lock.acquire("p:1", first)

    assert lock.acquire("p:1", then)[0] == "HELD"
    assert (lock.inside, lock.queue) == (["p:1"], [])
    assert lock.fields["held"] == {"reads": "read", "writes": "write"}[then]


def test_owner_that_waits_for_the_other_side_waits_anew(lock):
    """The place in the queue was for something else."""
    lock.acquire("p:1")
    lock.acquire("p:2")
    lock.acquire("p:3")

    assert lock.acquire("p:2", "reads")[0] == "QUEUED"
    assert lock.queue == ["p:3", "p:2"]


def test_old_hint_is_dropped_with_a_new_place(lock):
    """What was pushed for an earlier wait would wake this one for nothing."""
    lock.acquire("p:1")
    lock.client.execute("RPUSH", lock.keys.lock_wake("p:2"), "1")

    lock.acquire("p:2")

    assert not lock.woken("p:2")


def test_hint_that_cannot_be_given_does_no_harm(lock):
    """State is the truth: the grant is there, and found by whoever looks."""
    lock.acquire("p:1")
    lock.acquire("p:2")
    lock.client.execute("SET", lock.keys.lock_wake("p:2"), "in the way")

    assert lock.release("p:1") == "OK"
    assert lock.writer == "p:2"


def test_lock_that_is_gone_is_not_created_by_asking(lock):
    """Only who creates it knows whether it may be."""
    for key in (lock.keys.lock, lock.keys.lock_readers):
        lock.client.execute("DEL", key)

    with pytest.raises(NotFound):
        lock.acquire("p:1")

    assert not lock.client.execute("EXISTS", lock.keys.lock)


@pytest.mark.parametrize("does", ["reads", "writes"])
def test_one_that_comes_too_late_does_not_enter(lock, does):
    """LATE: the owner had sent it again, and has left since."""
    lock.acquire("p:1", does, sent="p 3 2")
    lock.release("p:1", sent="p 4 0")
    before = lock.fields

    with pytest.raises(Unavailable, match="LATE"):
        lock.acquire("p:1", does, sent="p 2 0")

    assert (lock.fields, lock.inside) == (before, [])
