"""What stands between a script and the sections of a flow's lock."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from redisflow.errors import LeaseLost, Locked
from redisflow.keys import LockKeys


class Guard(Protocol):
    """A flow's lock as the scripts see it: what the calling thread may do."""

    def fence(self) -> str:
        """Return the fence of this thread's section, "" outside any.

        Raises:
            RuntimeError: this thread may only read.
            LeaseLost: the lease on the lock is known to be over.
        """

    def turn(self, deadline_s: float) -> AbstractContextManager[str]:
        """Wait for a section of one call; gives its fence.

        Raises:
            Locked: others held the lock until the deadline.
        """

    def fenced(self) -> LeaseLost:
        """Note that the server calls this thread's section over; returns the error."""


class Unguarded:
    """The guard where no lock is in use: who meets a section does not wait.

    Args:
        keys: of the flow.
    """

    def __init__(self, keys: LockKeys) -> None:
        self._key = keys.lock

    def fence(self) -> str:
        """Return that this is outside any section."""
        return ""

    def turn(self, deadline_s: float) -> AbstractContextManager[str]:
        """Refuse at once."""
        raise Locked(f"others hold the lock {self._key}", lock=self._key)

    def fenced(self) -> LeaseLost:
        """Return the error: this is for those who bring a fence of their own."""
        return LeaseLost(f"the lease on the lock {self._key} is over", lock=self._key)
