"""Leases: one thread per process and server renews all of them.

A lease is a deadline that the server keeps and compares with its own clock. Whoever
holds one renews it here, from a thread that does nothing else, well before it ends::

    held ── renewed in time ──► held
      │
      ├── the server says that it is over ─────────────► lost
      └── no renewal got through until ``trusted_until`` ─► lost, as far as we know;
          where only the server's word counts (``unheard``) it is still tried

`Lease.trusted_until` counts on the local monotonic clock from *before* the request
left, so it always lies before the server's deadline: a holder that stops there stops
in time, also while the server is away. It is a reason to stop, never a reason to go
on; what counts is what the server accepts.

A lease may begin with a shorter one, ``first_s``, that was given before anybody asked
for its whole length: that one is renewed almost at once.

`Lease.steady` tells whether renewals went through without a gap for at least half a
lease. Who declares others dead must ask for it: when the server itself stood still,
everybody's lease is over at once, and nobody is dead.

After a fork the child has no thread and no leases; the first `keep` starts anew.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from time import monotonic

from redisflow.client import Outage
from redisflow.errors import Refused, Unavailable

logger = logging.getLogger(__name__)

#: Part of a lease that may pass between two renewals.
RENEW_AT = 1 / 3
#: Part of a lease for which a server has to answer without a gap, before anybody is
#: declared dead: after one, those who live renew theirs within a third.
STEADY_AFTER = 1 / 2
#: Part of a first, shorter lease that may pass before its renewal: what has ended by
#: then has cost the server nothing more.
_SOON = 1 / 20
#: For how long the thread stays when there is nothing to renew.
_LINGER_S = 10.0
#: It waits no longer at a time: what Python waits for has a limit.
_LONGEST_WAIT_S = 3600.0


class Lease:
    """One lease, kept by the heartbeat thread until it is dropped or lost.

    Args:
        renew: renews it on the server; returns False if it is over there, else in how
            many seconds to call it again at the latest.
        lease_s: how long a renewal lasts.
        since: when the request was sent that got it; now by default.
        first_s: how long it lasts from then on, if not as long as a renewal: it is then
            renewed soon.
        margin_s: how much earlier it is over here than on the server.
        unheard: whether it is lost, too, when no renewal got through until
            `trusted_until`. It need not be: of a server that was away all leases are
            over, and whoever renews first may go on.
        on_lost: called once it is lost, unless it was dropped before.
        server: where it is: one that does not answer holds up its own leases only.

    Attributes:
        over: whether the lease is known to be lost.
        dropped: whether nobody wants it any more; how a renewal ends is then all one.
    """

    def __init__(
        self,
        renew: Callable[[], float | bool],
        *,
        lease_s: float,
        since: float | None = None,
        first_s: float | None = None,
        margin_s: float = 0.0,
        unheard: bool = True,
        on_lost: Callable[[], object] | None = None,
        server: str = "",
    ) -> None:
        now = monotonic()
        since = now if since is None else since
        self._renew = renew
        self._on_lost = [] if on_lost is None else [on_lost]
        self.server = server
        self._trusted_s = lease_s - margin_s
        self._unheard = unheard
        self.lease_s = lease_s
        self.over = False
        self.dropped = False
        self._event: threading.Event | None = None
        self._steady_since = now
        self._last_renewal = now
        if first_s is None:
            self.trusted_until = since + self._trusted_s
            self.due = since + lease_s * RENEW_AT
        else:
            self.trusted_until = since + first_s - margin_s
            self.due = now + first_s * _SOON

    @property
    def lost(self) -> threading.Event:
        """The event that is set once the lease is known to be lost."""
        with _events:  # made when it is wanted: most leases are soon dropped
            if self._event is None:
                self._event = threading.Event()
                if self.over:
                    self._event.set()
            return self._event

    @property
    def steady(self) -> bool:
        """Whether renewals went through without a gap for the last half lease."""
        now = monotonic()
        return (
            not self.over
            and now - self._steady_since >= self.lease_s * STEADY_AFTER
            and now - self._last_renewal <= self.lease_s * STEADY_AFTER
        )

    def lose(self) -> None:
        """Note that it is over, and tell whoever wants to know."""
        with _events:
            self.over = True
            if self._event is not None:
                self._event.set()
        with contextlib.suppress(IndexError):  # another thread has told it
            tell = self._on_lost.pop()
            try:
                if not self.dropped:
                    tell()
            except Exception:  # a heartbeat must never stop
                logger.exception("a callback for a lost lease failed")

    def beat(self, outage: Outage) -> None:
        """Renew it once; what keeps that from being done is logged, and tried again.

        Args:
            outage: of its server: while that is away, it is not said each time.
        """
        started = monotonic()
        self.due = started + self.lease_s * RENEW_AT
        try:
            again_s = self._renew()
        except Exception as error:  # noqa: BLE001  # a heartbeat must never stop
            if not self.dropped:
                _warn(error, outage, started)
            now = monotonic()
            self.due = now + self.lease_s / 10
            if self._unheard:
                # One more attempt at the very end: the server may count from later on.
                self.due = min(self.due, max(self.trusted_until, now))
                if now >= self.trusted_until:
                    self.lose()
            return
        away_s = outage.ends()
        if away_s is not None:
            logger.warning("leases are renewed again, after %.1f s", away_s)
        if again_s is False:
            self.lose()
            return
        if started - self._last_renewal > self.lease_s * STEADY_AFTER:
            self._steady_since = started
        self._last_renewal = started
        self.trusted_until = started + self._trusted_s
        self.due = min(self.due, monotonic() + float(again_s))


def _warn(error: Exception, outage: Outage, since: float) -> None:
    if not isinstance(error, Unavailable | Refused):
        logger.warning("could not renew a lease: %s", error)
        return
    away_s = outage.lasts(since)
    if away_s is not None:
        logger.warning("no lease can be renewed for %.1f s: %s", away_s, error)


class _Heartbeat:
    """The thread that renews all leases on one server."""

    def __init__(self) -> None:
        self._leases: list[Lease] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes_at = 0.0
        self._outage = Outage()

    def keep(self, lease: Lease) -> None:
        """Renew a lease from now on."""
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(
                    target=self._run, name="redisflow-heartbeat", daemon=True
                )
                thread.start()  # it may fail; the next lease tries again
                self._thread = thread
            self._leases.append(lease)
            if lease.due < self._wakes_at:
                self._wakes_at = lease.due
                self._changed.notify()

    def drop(self, lease: Lease) -> None:
        """Renew a lease no longer; a renewal that is under way may still be made."""
        lease.dropped = True
        with self._changed:
            if lease in self._leases:
                self._leases.remove(lease)

    def _run(self) -> None:
        while True:
            lease = self._next_due()
            if lease is None:
                return
            lease.beat(self._outage)
            if lease.over:
                self.drop(lease)
            del lease  # what it renews is not to live on while this thread waits

    def _next_due(self) -> Lease | None:
        """Wait for the lease that is due next; None when there are none for a while."""
        ends_at = monotonic() + _LINGER_S
        with self._changed:
            while True:
                now = monotonic()
                wakes_at = ends_at
                if self._leases:
                    wakes_at = min(lease.due for lease in self._leases)
                    if wakes_at <= now:
                        return min(self._leases, key=lambda lease: lease.due)
                    ends_at = now + _LINGER_S
                elif now >= ends_at:
                    self._thread = None
                    self._outage = Outage()  # nobody has seen whether it is over
                    return None
                # A lease is often dropped before this thread has woken for it. It then
                # wakes in vain once: were it to sleep longer, each would wake it anew.
                if self._wakes_at > now:
                    wakes_at = min(wakes_at, self._wakes_at)
                self._wakes_at = wakes_at
                self._changed.wait(min(wakes_at - now, _LONGEST_WAIT_S))


_heartbeats: dict[str, _Heartbeat] = {}
_events = threading.Lock()


def keep(lease: Lease) -> None:
    """Renew a lease until it is dropped or lost."""
    heartbeat = _heartbeats.get(lease.server)
    if heartbeat is None:
        heartbeat = _heartbeats.setdefault(lease.server, _Heartbeat())
    heartbeat.keep(lease)


def drop(lease: Lease) -> None:
    """Stop renewing a lease."""
    lease.dropped = True
    if lease.server in _heartbeats:  # not in the child of a fork
        _heartbeats[lease.server].drop(lease)


def _after_fork_in_child() -> None:
    global _events  # noqa: PLW0603  # whoever had locked it is not in the child
    _events = threading.Lock()
    _heartbeats.clear()  # a child starts with no thread and no leases


os.register_at_fork(after_in_child=_after_fork_in_child)
