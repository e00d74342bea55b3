"""What the threads of this process hold: shared by all lock objects of one name.

An owner is one thread of one process: the process has an id, made anew in the child of
a fork, and each thread a number that no other thread ever gets. (Thread idents are used
again once a thread has ended: a new thread would inherit what a dead one held.)
"""

from __future__ import annotations

import itertools
import os
import threading
import uuid
import weakref
from collections.abc import Callable
from time import monotonic

from redisflow import lease
from redisflow.client import Client
from redisflow.config import Config
from redisflow.errors import NotFound
from redisflow.keys import LockKeys
from redisflow.scripts import Scripts

#: How much earlier than the server's a lease is over here, as a part of it.
_MARGIN = 0.01
_MAX_POLL_S = 1.0
_POLLS = 5
#: A waiter is believed to be alive for so many polls, and a grant waits so long for it.
PATIENCE = 3


def poll_s(lease_s: float) -> float:
    """Return how often a waiter looks at the lock without having been woken."""
    return min(_MAX_POLL_S, lease_s / _POLLS)


class Hold:
    """What one thread holds of one lock.

    Attributes:
        owner: names the thread, for the server.
        who: names it for people: host, pid and thread.
        process: id of the process that it belongs to.
        readers: how many read sections deep the thread is.
        writers: how many write sections deep.
        pending: whether it waits to write.
        fence: of its write section.
        section: counts its outermost sections; 0 before the first.
        lease: what keeps the lock for it.
    """

    def __init__(self) -> None:
        thread = threading.current_thread()
        self.owner = f"{_process}:{next(_numbers)}"
        name = thread.name.encode("utf-8", "replace").decode()
        self.who = f"{os.uname().nodename} {os.getpid()} {name}"
        self.process = _process
        self.readers = 0
        self.writers = 0
        self.pending = False
        self.fence = 0
        self.section = 0
        self.lease: lease.Lease | None = None
        self._thread = weakref.ref(thread)

    @property
    def held(self) -> bool:
        """Whether the thread is in a section."""
        return bool(self.readers or self.writers)

    @property
    def lost(self) -> bool:
        """Whether others may be in while this thread still is."""
        kept = self.lease
        return kept is not None and (kept.over or monotonic() >= kept.trusted_until)

    @property
    def inherited(self) -> bool:
        """Whether it belongs to the process that this one was forked from."""
        return self.process != _process

    def alive(self) -> bool:
        """Whether its thread has not ended."""
        thread = self._thread()
        return thread is not None and thread.is_alive()


class SharedLock:
    """One lock as all its objects in this process share it.

    Args:
        config: of the server.
        keys: of the lock.
    """

    def __init__(self, config: Config, keys: LockKeys) -> None:
        self.keys = keys
        # In a cluster locks are on many servers, one of which may stand still.
        apart = f" {keys.lock}" if config.kind == "cluster" else ""
        self._address = config.address + apart
        self._local = threading.local()
        self._hearts: dict[float, Scripts] = {}
        self._process = _process

    @property
    def hold(self) -> Hold:
        """What the calling thread holds."""
        found = self.known_hold()
        if found is None:
            found = self._local.hold = Hold()
        return found

    def known_hold(self) -> Hold | None:
        """Return what the calling thread holds, None if it has never held anything."""
        if self._process != _process:
            self._after_fork()
        found: Hold | None = getattr(self._local, "hold", None)
        return found

    def keep(
        self,
        hold: Hold,
        client: Client,
        *,
        lease_s: float,
        since: float,
        granted_s: float | None = None,
        lost: Callable[[], object],
    ) -> None:
        """Renew the lease of a section from now on.

        Args:
            hold: the thread's.
            client: where the lock is.
            lease_s: length of the lease.
            since: when the request was sent that got it.
            granted_s: how long it lasts if it is not renewed soon; as long as any
                other one by default.
            lost: called once it is lost.
        """
        heart, fence = self._heart(client, lease_s), hold.fence

        def renew() -> bool | float:
            if not hold.alive():
                return False  # nobody is left to release it
            try:
                reply = heart.call(
                    "lock_extend",
                    owner=hold.owner,
                    lease_ms=int(lease_s * 1000),
                    fence=fence,
                    deadline_s=lease_s / 6,
                )
            except NotFound:
                return False
            return False if reply.status == "LOST" else lease_s

        hold.lease = lease.Lease(
            renew,
            lease_s=lease_s,
            since=since,
            first_s=granted_s,
            margin_s=max(0.005, lease_s * _MARGIN),
            on_lost=lost,
            server=self._address,
        )
        lease.keep(hold.lease)

    def _heart(self, client: Client, lease_s: float) -> Scripts:
        """Return scripts on a connection for renewals alone: it waits a short time."""
        found = self._hearts.get(lease_s)
        if found is None:
            own = client.sibling(timeout_s=lease_s / 6)
            # Not at exit: a section may be on until the very end.
            weakref.finalize(self, own.close).atexit = False
            found = self._hearts[lease_s] = Scripts(own, self.keys)
        return found

    def _after_fork(self) -> None:
        """Own nothing of what the parent's threads hold."""
        self._local = threading.local()
        self._hearts = {}
        self._process = _process


def shared_lock(config: Config, keys: LockKeys) -> SharedLock:
    """Return what all objects of a lock in this process share."""
    with _registry_lock:
        key = (config, keys.lock)
        found = _registry.get(key)
        if found is None:
            found = _registry[key] = SharedLock(config, keys)
        return found


_process = uuid.uuid4().hex
_numbers = itertools.count(1)
_registry: weakref.WeakValueDictionary[tuple[Config, str], SharedLock]
_registry = weakref.WeakValueDictionary()
_registry_lock = threading.Lock()


def _after_fork_in_child() -> None:
    global _process, _registry_lock  # noqa: PLW0603  # a child is another process
    _process = uuid.uuid4().hex
    _registry_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
