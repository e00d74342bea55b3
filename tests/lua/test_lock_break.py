"""lock_break: an operator takes the lock away from those who were listed."""

from __future__ import annotations


def test_holder_is_put_out_and_the_next_is_in(lock):
    """OK with their names; the lock keeps who did it, and why."""
    lock.acquire("p:1")
    lock.acquire("p:2")

    assert lock.break_holders() == ["OK", ["p:1"]]
    assert lock.writer == "p:2"
    fields = lock.fields
    assert (fields["broken_by"], fields["broken_for"]) == ("operator", "stuck")
    assert lock.extend("p:1") == ["LOST"]


def test_all_readers_are_put_out(lock):
    """OK with all of them."""
    lock.acquire("p:1", "reads")
    lock.acquire("p:2", "reads")

    assert lock.break_holders() == ["OK", ["p:1", "p:2"]]
    assert lock.inside == []


def test_one_who_has_come_anew_is_not_meant(lock):
    """OK with nobody: the section that the operator saw has ended."""
    lock.acquire("p:1")
    (holder,) = lock.call("lock_list")[3]
    lock.release("p:1")
    lock.client.execute("HSET", lock.keys.lock, "fence", lock.fence + 1)
    lock.acquire("p:1")

    reply = lock.call("lock_break", rest=[holder[0], holder[2]], who="o", reason="r")

    assert reply == ["OK", []]
    assert lock.writer == "p:1"
    assert "broken_by" not in lock.fields


def test_second_call_puts_out_nobody_else(lock):
    """The same request twice breaks one section."""
    lock.acquire("p:1")
    (holder,) = lock.call("lock_list")[3]
    for expected in (["p:1"], []):
        reply = lock.call(
            "lock_break", rest=[holder[0], holder[2]], who="o", reason="r"
        )
        assert reply == ["OK", expected]
        lock.acquire("p:2")

    assert lock.writer == "p:2"
