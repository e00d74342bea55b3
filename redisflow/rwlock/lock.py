"""`ReaderWriterLock`: the methods of fasteners' lock, between processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import Protocol

from redisflow import lease
from redisflow.client import Client
from redisflow.errors import ConfigError, LeaseLost, Locked, NotFound, Unavailable
from redisflow.keys import Keys, LockKeys, is_utf8
from redisflow.rwlock.holds import Hold, shared_lock
from redisflow.rwlock.owners import LockOwner, owner_of
from redisflow.rwlock.server import Does, LockServer

logger = logging.getLogger(__name__)

DEFAULT_LEASE_S = 15.0
_SHORTEST_S = 0.05


class HasClient(Protocol):
    """What a lock uses of a backend."""

    @property
    def client(self) -> Client:
        """Where the lock is; its namespace begins the lock's keys."""


class ReaderWriterLock:
    """A fair lock for one writer or many readers, on any number of hosts.

    Args:
        backend: where it is; only its client is used.
        name: of the lock, in the backend's namespace.
        lease_s: after how long without a sign of life its holder loses it.
        on_lost: called with the lock when a section has lost it, from any thread.

    Raises:
        ConfigError: the name or the lease cannot be used.

    Attributes:
        lease_s: the same.
        on_lost: the same.
    """

    #: What `owner` says of a lock that is held by a writer.
    WRITER = "w"
    #: What `owner` says of a lock that is held by readers.
    READER = "r"

    def __init__(
        self,
        backend: HasClient,
        name: str,
        *,
        lease_s: float = DEFAULT_LEASE_S,
        on_lost: Callable[[ReaderWriterLock], object] | None = None,
    ) -> None:
        given: object = name
        if not (isinstance(given, str) and is_utf8(given)):
            raise ConfigError(f"a lock's name is text that can be a key, not {name!r}")
        keys = Keys(backend.client.namespace).of_lock(name)
        self._open(backend.client, keys, lease_s, on_lost)

    def _open(
        self,
        client: Client,
        keys: LockKeys,
        lease_s: float,
        on_lost: Callable[[ReaderWriterLock], object] | None = None,
    ) -> None:
        if not _SHORTEST_S <= lease_s < inf:
            raise ConfigError(f"lease_s {lease_s}: must be {_SHORTEST_S} or more")
        self.lease_s = lease_s
        self.on_lost = on_lost
        self._keys = keys
        self._server = LockServer(client, keys, lease_s=lease_s)
        self._shared = shared_lock(client.config, keys)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._keys.lock!r})"

    # fasteners' methods

    def acquire_read_lock(
        self, *, blocking: bool = True, timeout: float | None = None
    ) -> bool:
        """Enter as a reader; returns whether it is in.

        Args:
            blocking: whether to wait for it.
            timeout: for how many seconds to wait at most; None: as long as it takes.

        Raises:
            RuntimeError: this thread waits to write.
            LeaseLost: this thread's section has lost the lock.
            Unavailable: the server was not reached.
        """
        return self._acquire("reads", blocking, timeout)

    def acquire_write_lock(
        self, *, blocking: bool = True, timeout: float | None = None
    ) -> bool:
        """Enter as the writer; returns whether it is in.

        Args:
            blocking: whether to wait for it.
            timeout: for how many seconds to wait at most; None: as long as it takes.

        Raises:
            RuntimeError: this thread reads.
            LeaseLost: this thread's section has lost the lock.
            Unavailable: the server was not reached.
        """
        return self._acquire("writes", blocking, timeout)

    def release_read_lock(self) -> None:
        """Leave a read section.

        Raises:
            RuntimeError: this thread is in none.
            LeaseLost: the lock was lost before.
        """
        hold = self._shared.hold
        if not hold.readers:
            raise RuntimeError(f"Thread {_me()} does not own a read lock")
        if self._release(hold, "reads"):
            raise self._lost_error()

    def release_write_lock(self) -> None:
        """Leave a write section.

        Raises:
            RuntimeError: this thread is in none.
            LeaseLost: the lock was lost before.
        """
        hold = self._shared.hold
        if not hold.writers:
            raise RuntimeError(f"Thread {_me()} does not own a write lock")
        if self._release(hold, "writes"):
            raise self._lost_error()

    @contextmanager
    def read_lock(
        self, *, blocking: bool = True, timeout: float | None = None
    ) -> Iterator[ReaderWriterLock]:
        """Be a reader within it; arguments as in `acquire_read_lock`.

        Raises:
            Locked: it was not had in time.
            LeaseLost: at its end, if the lock was lost and nothing else was raised.
        """
        with self._section("reads", blocking, timeout):
            yield self

    @contextmanager
    def write_lock(
        self, *, blocking: bool = True, timeout: float | None = None
    ) -> Iterator[ReaderWriterLock]:
        """Be the writer within it; arguments as in `acquire_write_lock`.

        Raises:
            Locked: it was not had in time.
            LeaseLost: at its end, if the lock was lost and nothing else was raised.
        """
        with self._section("writes", blocking, timeout):
            yield self

    def is_writer(self, check_pending: bool = True) -> bool:  # noqa: FBT001, FBT002  # as fasteners
        """Tell whether this thread writes, or waits to."""
        hold = self._shared.hold
        return bool(hold.writers) or (check_pending and hold.pending)

    def is_reader(self) -> bool:
        """Tell whether this thread reads."""
        return bool(self._shared.hold.readers)

    @property
    def owner(self) -> str | None:
        """What holds the lock, in whatever process: ``"w"``, ``"r"`` or None."""
        if self._shared.hold.writers:
            return self.WRITER
        does = {holder.does for holder in self.holders()}
        if "writes" in does:
            return self.WRITER
        return self.READER if does else None

    @property
    def has_pending_writers(self) -> bool:
        """Whether anybody waits to write."""
        return any(waiter.does == "awaits-write" for waiter in self.waiters())

    # What leases add

    @property
    def fence(self) -> int | None:
        """The number of this thread's write section: greater than all before it."""
        hold = self._shared.hold
        return hold.fence if hold.writers else None

    @property
    def lost(self) -> threading.Event:
        """The event that is set when this thread's section has lost the lock."""
        kept = self._shared.hold.lease
        return threading.Event() if kept is None else kept.lost

    @property
    def section(self) -> int:
        """A number for each outermost section of this thread; 0 outside."""
        hold = self._shared.known_hold()
        return hold.section if hold is not None and hold.held else 0

    def check(self) -> None:
        """Raise if others may be in while this thread is; asks nobody.

        Raises:
            LeaseLost: this thread's section has lost the lock.
        """
        hold = self._shared.hold
        if hold.held and hold.lost:
            raise self._lost_error()

    def holders(self) -> list[LockOwner]:
        """List those who hold the lock.

        Raises:
            Unavailable: the server was not reached.
        """
        return self._list()[0]

    def waiters(self) -> list[LockOwner]:
        """List those who wait for the lock, in their order, 1000 at most.

        Raises:
            Unavailable: the server was not reached.
        """
        return self._list()[1]

    def force_release(self, reason: str, *, who: str = "") -> list[LockOwner]:
        """Take the lock away from whoever holds it; for operators.

        A holder that lives notices with its next write or renewal: its section is lost.

        Args:
            reason: kept with the lock.
            who: does it, kept as well; without it, this host, process and thread.

        Returns:
            Those who held it.

        Raises:
            Unavailable: the server was not reached.
        """
        holders = self.holders()
        if not holders:
            return []
        rest: list[str | int] = []
        for holder in holders:
            rest += [holder.owner, holder.since_ms]
        broken = self._break(who or self._shared.hold.who, reason, rest)
        names = {name.decode() for name in broken}
        return [holder for holder in holders if holder.owner in names]

    def _break(self, who: str, reason: str, rest: list[str | int]) -> list[bytes]:
        call = self._server.scripts.call
        reply = call("lock_break", rest=rest, who=who, reason=reason)
        found: list[bytes] = reply.fields[0]
        return found

    # How it is done

    @contextmanager
    def _section(
        self,
        does: Does,
        blocking: bool,  # noqa: FBT001
        timeout: float | None,
    ) -> Iterator[Hold]:
        if not self._acquire(does, blocking, timeout):
            raise self._locked_error()
        hold = self._shared.hold
        try:
            yield hold
        except BaseException:
            self._leave_section(hold, does)
            raise
        if self._leave_section(hold, does):
            raise self._lost_error()

    def _leave_section(self, hold: Hold, does: Does) -> bool:
        """End a section, unless that was done by hand, or is its parent's to do."""
        depth = hold.writers if does == "writes" else hold.readers
        return bool(depth) and not hold.inherited and self._release(hold, does)

    def _acquire(self, does: Does, blocking: bool, timeout: float | None) -> bool:  # noqa: FBT001
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
                if not self._enter(hold, does, blocking, timeout):
                    return False
            finally:
                hold.pending = False
        if does == "writes":
            hold.writers += 1
        else:
            hold.readers += 1
        return True

    def _enter(
        self,
        hold: Hold,
        does: Does,
        blocking: bool,  # noqa: FBT001
        timeout: float | None,
    ) -> bool:
        until = None
        if blocking:
            until = inf if timeout is None else monotonic() + timeout
        grant = self._server.enter(hold, does, until=until)
        if grant is None:
            return False
        hold.fence = grant.fence
        try:
            self._keep(hold, grant.since, None if grant.confirmed else grant.lease_s)
        except BaseException:  # else it would be renewed with nobody in the section
            kept, hold.lease = hold.lease, None
            if kept is not None:
                lease.drop(kept)
            self._server.give_up(hold)
            raise
        hold.section += 1
        return True

    def _keep(self, hold: Hold, since: float, granted_s: float | None = None) -> None:
        self._shared.keep(
            hold,
            self._server.client,
            lease_s=self.lease_s,
            since=since,
            granted_s=granted_s,
            lost=lambda: self._tell(hold),
        )

    def _release(self, hold: Hold, does: Does) -> bool:
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
            return self._downgrade(hold, kept) or lost
        hold.lease = None
        kept.dropped = True
        limit_s = min(kept.trusted_until - monotonic(), self._deadline_s)
        try:
            return self._server.leave(hold, keep=False, deadline_s=limit_s) or lost
        except Unavailable as error:
            logger.warning("%r is left to its lease: %s", self, error)
            return lost
        finally:
            lease.drop(kept)  # whoever waits need not wait for this, too

    def _downgrade(self, hold: Hold, kept: lease.Lease) -> bool:
        """Go on as a reader; returns whether the lock is lost."""
        sent = monotonic()
        lost = self._server.leave(hold, keep=True, deadline_s=self._deadline_s)
        self._keep(hold, sent)
        if (lost or kept.over) and hold.lease is not None:
            hold.lease.lose()
        return lost

    @property
    def _deadline_s(self) -> float:
        return self._server.client.config.deadline_s

    def _tell(self, hold: Hold) -> None:
        """Tell that a section has lost the lock."""
        logger.warning("%r is lost to %s", self, hold.who)
        if self.on_lost is not None:
            self.on_lost(self)

    def _list(self) -> tuple[list[LockOwner], list[LockOwner]]:
        try:
            reply = self._server.scripts.call("lock_list")
        except NotFound:
            return [], []
        now, _fence, holders, waiters = reply.fields
        return [owner_of(row, now) for row in holders], [
            owner_of(row, now) for row in waiters
        ]

    def _lost_error(self) -> LeaseLost:
        key = self._keys.lock
        message = f"the lease on the lock {key} was over before its section ended"
        return LeaseLost(message, lock=key)

    def _locked_error(self) -> Locked:
        key = self._keys.lock
        return Locked(f"others hold the lock {key}", lock=key)


def _me() -> str:
    return repr(threading.current_thread())
