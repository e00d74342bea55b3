"""Saying that a server is away: once, seldom again, and once that it is back."""

from __future__ import annotations

from time import monotonic

#: How long until it is said once more, in seconds.
AGAIN_S = 600.0


class Outage:
    """What somebody who goes on trying is to say of a server."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._said_at = 0.0

    def lasts(self, since: float) -> float | None:
        """Note that the server could not be used.

        Args:
            since: when the call was made that has failed, on the local clock.

        Returns:
            For how many seconds this has been so, if it is to be said now.
        """
        now = monotonic()
        if self._since is None:
            self._since = since
        elif now - self._said_at < AGAIN_S:
            return None
        self._said_at = now
        return now - self._since

    def ends(self) -> float | None:
        """Note that it answers; returns for how long it did not, None if it did."""
        if self._since is None:
            return None
        since, self._since = self._since, None
        return monotonic() - since
