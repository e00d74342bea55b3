"""`ReaderWriterLock`: the methods of fasteners' lock, between processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Protocol

from redisflow.client import Client
from redisflow.errors import ConfigError
from redisflow.keys import Keys, LockKeys, is_utf8
from redisflow.rwlock.holds import Hold, shared_lock
from redisflow.rwlock.owners import LockOwner, owners_of
from redisflow.rwlock.sections import Sections
from redisflow.rwlock.server import LockServer

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
        self.on_lost = on_lost
        self._keys = keys
        self._server = LockServer(client, keys, lease_s=lease_s)
        self._shared = shared_lock(client.config, keys)
        self._sections = Sections(self._server, self._shared, name=repr(self))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._keys.lock!r})"

    @property
    def lease_s(self) -> float:
        """After how long without a sign of life its holder loses it."""
        return self._server.lease_s

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
        return self._sections.enter(
            "reads", self._tell, blocking=blocking, timeout=timeout
        )

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
        return self._sections.enter(
            "writes", self._tell, blocking=blocking, timeout=timeout
        )

    def release_read_lock(self) -> None:
        """Leave a read section.

        Raises:
            RuntimeError: this thread is in none.
            LeaseLost: the lock was lost before.
        """
        self._sections.leave("reads", self._tell)

    def release_write_lock(self) -> None:
        """Leave a write section.

        Raises:
            RuntimeError: this thread is in none.
            LeaseLost: the lock was lost before.
        """
        self._sections.leave("writes", self._tell)

    @contextmanager
    def read_lock(
        self, *, blocking: bool = True, timeout: float | None = None
    ) -> Iterator[ReaderWriterLock]:
        """Be a reader within it; arguments as in `acquire_read_lock`.

        Raises:
            Locked: it was not had in time.
            LeaseLost: at its end, if the lock was lost and nothing else was raised.
        """
        with self._sections.within(
            "reads", self._tell, blocking=blocking, timeout=timeout
        ):
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
        with self._sections.within(
            "writes", self._tell, blocking=blocking, timeout=timeout
        ):
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
        self._sections.check()

    def holders(self) -> list[LockOwner]:
        """List those who hold the lock.

        Raises:
            Unavailable: the server was not reached.
        """
        return owners_of(self._server.scripts)[0]

    def waiters(self) -> list[LockOwner]:
        """List those who wait for the lock, in their order, 1000 at most.

        Raises:
            Unavailable: the server was not reached.
        """
        return owners_of(self._server.scripts)[1]

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

    def _tell(self, hold: Hold) -> None:
        """Tell that a section has lost the lock."""
        logger.warning("%r is lost to %s", self, hold.who)
        if self.on_lost is not None:
            self.on_lost(self)
