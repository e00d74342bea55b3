"""How a thread comes into a section of a lock, goes on in it, and leaves it.

Sections within sections are counted here, in the thread's `Hold`: the outermost one
takes a lease on the server and keeps it, and its end gives it back. A writer that has
begun to read goes on as a reader where its write section ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic

from redisflow import lease
from redisflow.errors import LeaseLost, Locked, Unavailable
from redisflow.rwlock.holds import Hold, SharedLock
from redisflow.rwlock.server import Does, LockServer

logger = logging.getLogger(__name__)

#: Called with what a thread holds once its section has lost the lock, from any thread.
Told = Callable[[Hold], object]


class Sections:
    """The sections of this process's threads in one lock.

    Args:
        server: the lock on its server.
        shared: what the threads hold of it.
        name: of the lock, in the log.
    """

    def __init__(self, server: LockServer, shared: SharedLock, *, name: str) -> None:
        self._server = server
        self._shared = shared
        self._name = name

    def enter(
        self, does: Does, told: Told, *, blocking: bool, timeout: float | None
    ) -> bool:
        """Begin a section of this thread; returns whether it is in.

        Args:
            does: whether it is to write or to read.
            told: called if the section loses the lock.
            blocking: whether to wait for it.
            timeout: for how many seconds to wait at most; None: as long as it takes.

        Raises:
            RuntimeError: this thread waits to write, or reads and may not write.
            LeaseLost: the section that this thread is in has lost the lock.
            Unavailable: the server was not reached.
        """
        hold = self._shared.hold
        if hold.pending:
            raise RuntimeError(
                f"Writer {_me()} can not acquire a lock while waiting to write"
            )
        if does == "writes" and hold.readers and not hold.writers:
            raise RuntimeError(
                f"Reader {_me()} to writer privilege escalation not allowed"
            )
        if hold.held:
            self.check()
        else:
            hold.pending = does == "writes"
            try:
                if not self._take(hold, does, told, blocking=blocking, timeout=timeout):
                    return False
            finally:
                hold.pending = False
        if does == "writes":
            hold.writers += 1
        else:
            hold.readers += 1
        return True

    def leave(self, does: Does, told: Told) -> None:
        """End the innermost section of this thread that does this.

        Args:
            does: whether it writes or reads.
            told: called if the section around it, which goes on, loses the lock.

        Raises:
            RuntimeError: this thread is in none.
            LeaseLost: the lock was lost before.
        """
        hold = self._shared.hold
        if not _depth(hold, does):
            kind = "write" if does == "writes" else "read"
            raise RuntimeError(f"Thread {_me()} does not own a {kind} lock")
        if self._leave(hold, does, told):
            raise lost_error(self._shared.keys.lock)

    @contextmanager
    def within(
        self, does: Does, told: Told, *, blocking: bool, timeout: float | None
    ) -> Iterator[None]:
        """Be in a section within it; arguments as in `enter`.

        Raises:
            Locked: it was not had in time.
            LeaseLost: at its end, if the lock was lost and nothing else was raised.
        """
        if not self.enter(does, told, blocking=blocking, timeout=timeout):
            raise locked_error(self._shared.keys.lock)
        hold = self._shared.hold
        try:
            yield
        except BaseException:
            self._end(hold, does, told)
            raise
        if self._end(hold, does, told):
            raise lost_error(self._shared.keys.lock)

    def check(self) -> None:
        """Raise if others may be in while this thread is; asks nobody.

        Raises:
            LeaseLost: this thread's section has lost the lock.
        """
        hold = self._shared.hold
        if hold.held and hold.lost:
            raise lost_error(self._shared.keys.lock)

    def _take(
        self,
        hold: Hold,
        does: Does,
        told: Told,
        *,
        blocking: bool,
        timeout: float | None,
    ) -> bool:
        """Have the server let this thread in; returns whether it did."""
        until = None
        if blocking:
            until = inf if timeout is None else monotonic() + timeout
        grant = self._server.enter(hold, does, until=until)
        if grant is None:
            return False
        hold.fence = grant.fence
        try:
            granted_s = None if grant.confirmed else grant.lease_s
            self._keep(hold, told, since=grant.since, granted_s=granted_s)
        except BaseException:  # else it would be renewed with nobody in the section
            kept, hold.lease = hold.lease, None
            if kept is not None:
                lease.drop(kept)
            self._server.give_up(hold)
            raise
        hold.section += 1
        return True

    def _keep(
        self, hold: Hold, told: Told, *, since: float, granted_s: float | None = None
    ) -> None:
        self._shared.keep(
            hold,
            self._server.client,
            lease_s=self._server.lease_s,
            since=since,
            granted_s=granted_s,
            lost=lambda: told(hold),
        )

    def _end(self, hold: Hold, does: Does, told: Told) -> bool:
        """End a section, unless that was done by hand, or is its parent's to do."""
        if not _depth(hold, does) or hold.inherited:
            return False
        return self._leave(hold, does, told)

    def _leave(self, hold: Hold, does: Does, told: Told) -> bool:
        """Leave a section; returns whether the lock was lost before its end."""
        if does == "writes":
            hold.writers -= 1
        else:
            hold.readers -= 1
        if hold.writers or (hold.readers and does == "reads"):
            return False
        kept, lost = hold.lease, hold.lost
        if kept is None:
            return False
        if hold.readers:
            lease.drop(kept)
            return self._downgrade(hold, kept, told) or lost
        hold.lease = None
        kept.dropped = True
        limit_s = min(kept.trusted_until - monotonic(), self._deadline_s)
        try:
            return self._server.leave(hold, keep=False, deadline_s=limit_s) or lost
        except Unavailable as error:
            logger.warning("%s is left to its lease: %s", self._name, error)
            return lost
        finally:
            lease.drop(kept)  # whoever waits need not wait for this, too

    def _downgrade(self, hold: Hold, kept: lease.Lease, told: Told) -> bool:
        """Go on as a reader; returns whether the lock is lost."""
        sent = monotonic()
        lost = self._server.leave(hold, keep=True, deadline_s=self._deadline_s)
        self._keep(hold, told, since=sent)
        if (lost or kept.over) and hold.lease is not None:
            hold.lease.lose()
        return lost

    @property
    def _deadline_s(self) -> float:
        return self._server.client.config.deadline_s


def lost_error(key: str) -> LeaseLost:
    """Make the error of a section that has lost the lock at this key."""
    message = f"the lease on the lock {key} was over before its section ended"
    return LeaseLost(message, lock=key)


def locked_error(key: str) -> Locked:
    """Make the error of a lock that was not had."""
    return Locked(f"others hold the lock {key}", lock=key)


def _depth(hold: Hold, does: Does) -> int:
    return hold.writers if does == "writes" else hold.readers


def _me() -> str:
    return repr(threading.current_thread())
