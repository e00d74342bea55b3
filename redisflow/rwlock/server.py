"""The server's side of a lock: entering it, waiting for it, leaving it.

A hint tells a waiter which ticket was let in, with which fence and for how long. It is
believed without asking again, since a ticket is given once: who was told that its
ticket waits, and then reads that it was let in, knows that this happened after it had
asked, and so that its lease goes on at least until

    when it asked + for how long a grant lasts

by its own clock. A hint of another ticket, or of another form, is a reason to look;
so is one that comes when most of that time is over: the thread was held up, and
others may be in since.

A request whose reply was lost may have been done. Entering is repeated until the answer
is known, and has one effect. Leaving is repeated as well; its answer then no longer
tells whether the lock was held until then, and what is known here decides.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic
from typing import Literal, NamedTuple

from redisflow import observing
from redisflow.client import Client
from redisflow.errors import NotFound, RedisFlowError, Unavailable
from redisflow.keys import FlowKeys, LockKeys
from redisflow.rwlock.holds import PATIENCE, Hold, poll_s
from redisflow.scripts import FlowScripts, Reply, Scripts

Does = Literal["writes", "reads"]

#: The shortest wait between two looks at the lock.
_SHORTEST_S = 0.005
#: Part of a grant in which a hint of it is believed: two of its `PATIENCE` looks.
_BELIEVED = 2 / 3
#: For how long leaving the queue is tried by one who gives up.
_GIVE_UP_S = 1.0


class Grant(NamedTuple):
    """A lease on a lock, as it was got.

    Attributes:
        fence: of the last writer: its own, if it writes.
        since: a time before it began, by `time.monotonic`.
        lease_s: its length, counted from there.
        confirmed: whether it is of full length: nobody has asked for that yet where a
            hint has told of it.
    """

    fence: int
    since: float
    lease_s: float
    confirmed: bool


class LockServer:
    """One lock on its server.

    Args:
        client: where it is.
        keys: its keys.
        lease_s: length of its leases.
    """

    def __init__(self, client: Client, keys: LockKeys, *, lease_s: float) -> None:
        self.client = client
        self.lease_s = lease_s
        self.scripts = (
            FlowScripts(client, keys)
            if isinstance(keys, FlowKeys)
            else Scripts(client, keys)
        )

    def enter(self, hold: Hold, does: Does, *, until: float | None) -> Grant | None:
        """Wait for the lock.

        Args:
            hold: the thread's.
            does: whether it is to write or to read.
            until: when to give up; None to ask once only, without a place in the queue.

        Returns:
            What was got; None if others hold it.

        Raises:
            Unavailable: the server was not reached.
        """
        wait_s = 0.0 if until is None else PATIENCE * poll_s(self.lease_s)
        queued = None
        try:
            while True:
                sent = monotonic()
                reply = self._acquire(hold, does, wait_s, until)
                if reply.status == "HELD" and monotonic() - sent < self.lease_s / 2:
                    return Grant(reply.fields[0], sent, self.lease_s, confirmed=True)
                if reply.status == "BUSY":
                    return None
                if until is not None and monotonic() >= until:
                    self.give_up(hold)
                    return None
                if reply.status == "QUEUED":
                    queued = queued or sent
                    leases_end_ms, ticket = reply.fields
                    hint = self._wait(hold, leases_end_ms / 1000, until)
                    if granted := _granted(hint, ticket, sent):
                        return granted
        except BaseException:
            self.give_up(hold)
            raise
        finally:
            _tell_wait(queued)

    def leave(self, hold: Hold, *, keep: bool, deadline_s: float) -> bool:
        """Leave the lock, or stay in it as a reader.

        Args:
            hold: the thread's.
            keep: whether it stays as a reader.
            deadline_s: for how long to go on trying.

        Returns:
            Whether the lock is known to have been lost before.

        Raises:
            Unavailable: the server was not reached; the lease will end.
        """
        until = monotonic() + deadline_s
        doubtful = False
        left_s = 0.0  # once, to know whether it was sent more than once
        while True:
            try:
                return self._release(hold, keep, left_s) == "LOST" and not doubtful
            except NotFound:
                return True
            except Unavailable as error:
                doubtful = doubtful or error.outcome == "unknown"
                left_s = until - monotonic()
                if left_s <= 0:
                    raise

    def give_up(self, hold: Hold) -> None:
        """Leave the queue, if it can be reached; what was granted goes to the next."""
        with suppress(RedisFlowError):
            self._release(hold, keep=False, deadline_s=_GIVE_UP_S)

    def _acquire(
        self, hold: Hold, does: Does, wait_s: float, until: float | None
    ) -> Reply:
        limit_s = self.client.config.deadline_s
        if until is not None:
            limit_s = max(0.0, min(limit_s, until - monotonic()))
        while True:
            try:
                return self.scripts.call(
                    "lock_acquire",
                    does=does,
                    owner=hold.owner,
                    who=hold.who,
                    lease_ms=int(self.lease_s * 1000),
                    wait_ms=int(wait_s * 1000),
                    deadline_s=limit_s,
                )
            except NotFound:
                if isinstance(self.scripts, FlowScripts):
                    raise
                self.scripts.call("lock_create", deadline_s=limit_s)

    def _release(self, hold: Hold, keep: bool, deadline_s: float) -> str:  # noqa: FBT001
        reply = self.scripts.call(
            "lock_release",
            owner=hold.owner,
            keep_ms=int(self.lease_s * 1000) if keep else 0,
            deadline_s=deadline_s,
        )
        return reply.status

    def _wait(
        self, hold: Hold, leases_end_s: float, until: float | None
    ) -> bytes | None:
        """Wait for a hint, for the end of the holders' leases, or for the next look."""
        block_s = min(poll_s(self.lease_s), leases_end_s)
        if until is not None:
            block_s = min(block_s, until - monotonic())
        block_s = max(_SHORTEST_S, block_s)
        key = self.scripts.keys.lock_wake(hold.owner)
        reply = self.client.block("BLPOP", key, block_s, block_s=block_s)
        return None if reply is None else bytes(reply[1])


def _tell_wait(since: float | None) -> None:
    if since is not None:
        observing.tell("waited", monotonic() - since)


def _granted(hint: bytes | None, ticket: int, asked: float) -> Grant | None:
    """Read what a hint says, unless only a look at the lock can tell.

    Args:
        hint: as grant_lock writes it.
        ticket: that the thread waits with.
        asked: when the request was sent whose answer was that it waits with it.
    """
    try:
        let_in, fence, lease_ms = map(int, (hint or b"").split())
    except ValueError:
        return None
    lease_s = lease_ms / 1000
    if let_in != ticket or monotonic() >= asked + lease_s * _BELIEVED:
        return None
    return Grant(fence, asked, lease_s, confirmed=False)
