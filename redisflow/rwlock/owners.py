"""Those who hold a lock or wait for it, as an operator wants to see them."""

from __future__ import annotations

from dataclasses import dataclass

from redisflow.errors import NotFound
from redisflow.scripts import Scripts


@dataclass(frozen=True, slots=True)
class LockOwner:
    """One who holds a lock, or waits for it.

    Attributes:
        owner: names the thread, for `force_release`'s journal.
        does: ``writes``, ``reads``, ``awaits-write`` or ``awaits-read``.
        host: where it runs.
        pid: its process.
        thread: the name of its thread.
        age_s: for how long it has held the lock, or waited.
        lease_s: how long its lease goes on, if it is not renewed.
        since_ms: since when, by the server's clock.
    """

    owner: str
    does: str
    host: str
    pid: int
    thread: str
    age_s: float
    lease_s: float
    since_ms: int


def owner_of(row: tuple[bytes, bytes, int, int, bytes], now: int) -> LockOwner:
    """Read a row of lock_list."""
    owner, does, since, deadline, who = row
    host, pid, thread = (*who.decode("utf-8", "replace").split(" ", 2), "", "", "")[:3]
    return LockOwner(
        owner=owner.decode(),
        does=does.decode(),
        host=host,
        pid=int(pid) if pid.isdecimal() else 0,
        thread=thread,
        age_s=max(0, now - since) / 1000,
        lease_s=(deadline - now) / 1000,
        since_ms=since,
    )


def owners_of(scripts: Scripts) -> tuple[list[LockOwner], list[LockOwner]]:
    """List those who hold a lock, and those who wait for it.

    Raises:
        Unavailable: the server was not reached.
    """
    try:
        reply = scripts.call("lock_list")
    except NotFound:
        return [], []
    now, _fence, holders, waiters = reply.fields
    return [owner_of(row, now) for row in holders], [
        owner_of(row, now) for row in waiters
    ]
