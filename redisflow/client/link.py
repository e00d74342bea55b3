"""`Link`: a client's connections, from their first use until it is closed.

Opened when they are first asked for, by one thread while the others wait; that one also
looks whether the server is fit, once. What an error has spoiled is dropped, so that the
next call connects anew. The child of a fork begins without a connection; after `close`
nobody connects again.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from contextlib import suppress
from time import monotonic
from typing import TypeVar

import redis

from redisflow.client import connect, examining
from redisflow.client.access import check_access
from redisflow.client.connect import Handle
from redisflow.client.faults import REDIS_ERRORS, Fault, judge
from redisflow.client.history import Histories
from redisflow.client.lines import Lines
from redisflow.config import Config
from redisflow.errors import Unavailable

T = TypeVar("T")

#: An answer that takes longer comes from a server that stood still, in seconds.
_DELAY_S = 0.5

#: Whoever has not asked for longer does not know what was meanwhile, in seconds.
SILENT_S = 6.0

#: The links of this process, for the child of a fork.
_links: weakref.WeakSet[Link] = weakref.WeakSet()


class Link:
    """The connections of one client.

    Args:
        config: which server, and how to talk to it.
        histories: of that server.

    Attributes:
        histories: the same.
        handle: what connects; None as long as nobody has asked for it.
        lines: connections of it that are at hand.
        seen: whether the server was found to be fit.
        examined: whether whoever uses the client judges that for themselves.
        steady_since: since when the server answers without a break, on the local clock:
            before that it was away, stood still, or was not asked here for a while.
        closing: set once it is closed.

    Raises:
        ConfigError: a connection option that redis-py does not have.
    """

    def __init__(self, config: Config, histories: Histories) -> None:
        self.histories = histories
        self.handle: Handle | None = None
        self.lines = Lines()
        self.seen = False
        self.examined = False
        self.steady_since = math.inf
        self._heard_at = -math.inf
        self.closing = threading.Event()
        self._config = config
        self._options = connect.options_of(config, histories)
        self._opening = threading.Lock()
        _links.add(self)

    @property
    def timeout_s(self) -> float | None:
        """How long a reply is waited for."""
        timeout_s: float | None = self._options.get("socket_timeout")
        return timeout_s

    def open(self) -> Handle:
        """Connect, and look at the server if nobody has yet.

        Raises:
            Unavailable: it is closed.
            Refused: the server is not fit, or does not let this user in.
        """
        with self._opening:
            if self.closing.is_set():
                raise Unavailable("the client was closed")
            if self.handle is not None:
                return self.handle
            path = _embedded_path() if self._config.kind == "embedded" else None
            handle = connect.connect(self._config, self._options, path)
            if not self.seen:
                for info in () if self.examined else examining.look(handle):
                    examining.check(info, self._config)
                if self._config.username is not None:
                    check_access(handle, self._config)
                self.seen = True
            self.handle = handle
            self.steady_since = self._heard_at = monotonic()
            if self.closing.is_set():  # meanwhile
                self.close()
            return handle

    def answered(self, answer: T, started: float) -> T:
        """Note an answer, and give it back; a late one is the end of a break.

        Args:
            answer: what came.
            started: when it was asked for, on the local clock.
        """
        now = monotonic()
        if now - started > _DELAY_S or now - self._heard_at > SILENT_S:
            self.steady_since = now
        self._heard_at = now
        return answer

    def judge(self, error: Exception, *, sent: bool) -> Fault:
        """Tell what an error means, and drop the connections that it spoils."""
        if isinstance(error, redis.DataError):
            raise TypeError(str(error)) from error
        fault = judge(error, sent=sent, seen=self.seen)
        if fault.network or fault.passing:
            self.steady_since = monotonic()
        if fault.network and not self.seen:
            fault = examining.explain(fault, self._config)
        handle = self.handle
        if fault.network and sent:
            self.histories.renew()
        if handle is not None and (fault.network or "READONLY" in fault.reason):
            self.lines.drop()
            connect.drop_idle(handle)
            if self._config.kind == "embedded":
                self.handle = None  # it may have ended: opening starts it again
        return fault

    def close(self) -> None:
        """Disconnect, and wake whoever waits."""
        self.closing.set()
        handle, self.handle = self.handle, None
        if handle is not None:
            with suppress(*REDIS_ERRORS, OSError):
                connect.close(handle)

    def _after_fork(self) -> None:
        """Forget, in a child, what belongs to its parent."""
        closed = self.closing.is_set()
        self._opening, self.closing = threading.Lock(), threading.Event()
        self.lines = Lines()
        self.histories.after_fork()
        if closed:
            self.closing.set()
        handle, self.handle = self.handle, None
        if handle is not None:
            connect.abandon(handle)


def _after_fork_in_child() -> None:
    for link in list(_links):
        link._after_fork()  # noqa: SLF001  a module's own


os.register_at_fork(after_in_child=_after_fork_in_child)


def _embedded_path() -> str:
    # Most processes have a server elsewhere, and never need this one.
    from redisflow.embedded import ensure_running  # noqa: PLC0415

    return str(ensure_running().socket_path)
