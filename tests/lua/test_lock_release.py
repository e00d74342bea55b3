"""lock_release: out, or on as a reader; and the next ones are in."""

from __future__ import annotations

import pytest

from redisflow.errors import Unavailable


def test_released_lock_is_free(lock):
    """OK, and nothing is left of its owner."""
    lock.acquire("p:1")

    assert lock.release("p:1") == "OK"
    assert (lock.inside, lock.owners, lock.fields["held"]) == ([], {}, "")


def test_second_release_frees_nobody_else(lock):
    """LOST: the one who came in between keeps the lock."""
    lock.acquire("p:1")
    lock.release("p:1")
    lock.acquire("p:2")

    assert lock.release("p:1") == "LOST"
    assert lock.writer == "p:2"


def test_lease_that_was_over_is_told(lock):
    """LOST, although nobody came in between."""
    lock.acquire("p:1")
    lock.lapse("p:1")

    assert lock.release("p:1") == "LOST"
    assert lock.inside == []


def test_waiter_leaves_the_queue(lock):
    """LOST: it held nothing; and no trace of it is left."""
    lock.acquire("p:1")
    lock.acquire("p:2")

    assert lock.release("p:2") == "LOST"
    assert (lock.queue, lock.owners) == ([], {})


def test_grant_that_is_given_up_goes_to_the_next(lock):
    """OK: cancelling and granting have one outcome, in whichever order they come."""
    lock.acquire("p:1")
    lock.acquire("p:2")
    lock.acquire("p:3")
    lock.release("p:1")

    assert lock.release("p:2") == "OK"
    assert lock.writer == "p:3"


def test_queue_is_served_in_order_readers_together(lock):
    """R1 | W1 | R2 and R3 | W2, each woken when it is in."""
    lock.acquire("w0")
    for owner in ("r1", "w1", "r2", "r3", "w2"):
        lock.acquire(owner, "reads" if owner[0] == "r" else "writes")
    served = []
    while lock.inside or lock.queue:
        served.append(lock.inside)
        assert all(lock.woken(owner) for owner in served[-1] if owner != "w0")
        for owner in served[-1]:
            lock.release(owner)

    assert served == [["w0"], ["r1"], ["w1"], ["r2", "r3"], ["w2"]]


def test_reader_between_two_writers_waits_for_neither_too_long(lock):
    """W1 in, R and W2 wait: W1 leaves, R is in, then W2."""
    lock.acquire("w1")
    lock.acquire("r", "reads")
    lock.acquire("w2")

    lock.release("w1")
    assert lock.inside == ["r"]
    lock.release("r")
    assert lock.inside == ["w2"]


def test_writer_stays_as_a_reader_and_others_join(lock):
    """OK: nobody writes in between, readers at the head of the queue enter."""
    lock.acquire("p:1")
    lock.acquire("p:2", "reads")
    lock.acquire("p:3")

    assert lock.release("p:1", keep_ms=60_000) == "OK"
    assert (lock.readers, lock.queue) == (["p:1", "p:2"], ["p:3"])
    assert lock.owners["p:1"].endswith("host 7 thread of p:1")


def test_staying_as_a_reader_may_be_asked_for_twice(lock):
    """OK both times, with one place among the readers."""
    lock.acquire("p:1")

    assert [lock.release("p:1", keep_ms=60_000) for _ in range(3)] == ["OK"] * 3
    assert lock.readers == ["p:1"]
    assert lock.release("p:1") == "OK"
    assert lock.inside == []


def test_writer_whose_lease_was_over_does_not_stay(lock):
    """LOST: others may have written since."""
    lock.acquire("p:1")
    lock.lapse("p:1")

    assert lock.release("p:1", keep_ms=60_000) == "LOST"
    assert lock.inside == []


def test_one_that_comes_too_late_does_not_end_the_next_section(lock):
    """LATE: the owner had sent it again, had left, and has entered anew."""
    lock.acquire("p:1", sent="p 1 0")
    lock.release("p:1", sent="p 3 2")
    lock.acquire("p:1", sent="p 4 0")
    before = lock.fields

    with pytest.raises(Unavailable, match="LATE"):
        lock.release("p:1", sent="p 2 0")

    assert (lock.fields, lock.writer) == (before, "p:1")


def test_marks_that_are_over_are_taken_out(lock):
    """Whoever comes next does it; what is kept longer stays, its own as well."""
    far = 2**50
    lock.acquire("p:1")
    lock.client.execute("HSET", lock.keys.lock, "void", f"o 9 1 p 5 {far} q 7 {far}")

    assert lock.release("p:1", sent="p 6 0") == "OK"
    assert lock.fields["void"] == f"p 5 {far} q 7 {far}"
