"""The lock of a flow, and how the flow's scripts obey it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic

from redisflow.client import Client
from redisflow.errors import LeaseLost
from redisflow.keys import FlowKeys
from redisflow.rwlock.holds import shared_lock
from redisflow.rwlock.lock import DEFAULT_LEASE_S, ReaderWriterLock
from redisflow.rwlock.sections import locked_error, lost_error
from redisflow.scripts import FlowScripts


class FlowLock(ReaderWriterLock):
    """A flow's own lock: what changes the flow waits while another is in a section.

    Args:
        client: where the flow is.
        keys: of the flow.
        lease_s: after how long without a sign of life its holder loses it.
    """

    def __init__(
        self, client: Client, keys: FlowKeys, *, lease_s: float = DEFAULT_LEASE_S
    ) -> None:
        self._open(client, keys, lease_s)

    def _break(self, who: str, reason: str, rest: list[str | int]) -> list[bytes]:
        call = self._server.scripts.call
        reply = call("flow_unlock", rest=rest, who=who, reason=reason)
        found: list[bytes] = reply.fields[0]
        return found


class FlowGuard:
    """What the scripts of a flow ask its lock.

    Args:
        client: where the flow is.
        keys: of the flow.
    """

    def __init__(self, client: Client, keys: FlowKeys) -> None:
        self._client = client
        self._keys = keys
        self._shared = shared_lock(client.config, keys)

    def fence(self) -> str:
        """Return the fence of this thread's section, "" outside any.

        Raises:
            RuntimeError: this thread may only read.
            LeaseLost: the lease on the lock is known to be over.
        """
        hold = self._shared.known_hold()
        if hold is None or not hold.held:
            return ""
        if not hold.writers:
            raise RuntimeError(
                f"a thread that holds only the read side of {self._keys.lock} may not"
                " change the flow"
            )
        if hold.lost:
            raise self.fenced()
        return str(hold.fence)

    @contextmanager
    def turn(self, deadline_s: float) -> Iterator[str]:
        """Wait for a section of one call; gives its fence.

        Raises:
            Locked: others held the lock until the deadline.
        """
        lock = FlowLock(self._client, self._keys)
        until = monotonic() + deadline_s
        while not lock.acquire_write_lock(timeout=until - monotonic()):
            if monotonic() >= until:
                raise locked_error(self._keys.lock)
        try:
            yield str(lock.fence)
        finally:
            with suppress(LeaseLost):  # the call has its own answer
                lock.release_write_lock()

    def fenced(self) -> LeaseLost:
        """Note that the server calls this thread's section over; returns the error."""
        hold = self._shared.known_hold()
        if hold is not None and hold.lease is not None:
            hold.lease.lose()
        return lost_error(self._keys.lock)


def flow_scripts(client: Client, keys: FlowKeys) -> FlowScripts:
    """Bind the scripts to one flow and its lock."""
    return FlowScripts(client, keys, FlowGuard(client, keys))
