"""The server's clock, by which all times in Redis are."""

from __future__ import annotations

import datetime
from time import monotonic

from redisflow.client import Client


class ServerClock:
    """The server's clock, asked once; all times in Redis are its milliseconds."""

    def __init__(self, client: Client) -> None:
        self._then_ms = client.now_ms()
        self._asked_at = monotonic()

    def now_ms(self) -> float:
        """Tell what time it is on the server."""
        return self._then_ms + (monotonic() - self._asked_at) * 1000


def iso_time(milliseconds: float | str) -> str | None:
    """Write a time of the server, in UTC; None for what never happened.

    >>> iso_time(1_700_000_000_123)
    '2023-11-14T22:13:20.123+00:00'
    """
    if not (value := float(milliseconds)):
        return None
    utc = datetime.datetime.fromtimestamp(value / 1000, datetime.UTC)
    return utc.isoformat(timespec="milliseconds")
