"""Connections that commands take by turns, beside redis-py's own pool.

A pool asks a connection before each use whether somebody has closed it, and counts and
reports each use, which shows in what a script costs. Here a connection that was used a
moment ago is used again as it is. One that has rested goes back to the pool, for its
question; so does one whose server may have stepped down, see `Lines.give`. Waits, and
scripts that replicas confirm, take theirs from the pool.
"""

from __future__ import annotations

import contextlib
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

from redis.connection import ConnectionPool
from redis.sentinel import SentinelConnectionPool

#: For how long a connection that was used is believed to be open.
_FRESH_S = 0.25

#: Connections at hand, and when each was used last; the latest stands last.
_AtHand = list[tuple[Any, float]]


class Lines:
    """What a client has at hand of its pools; any number of threads may share it."""

    def __init__(self) -> None:
        self._at_hand: WeakKeyDictionary[ConnectionPool, _AtHand] = WeakKeyDictionary()

    def take(self, pool: ConnectionPool) -> Any:
        """Take a connection that nobody else uses until it is given back."""
        try:
            connection, used = self._at_hand[pool].pop()
        except (KeyError, IndexError):
            return pool.get_connection()
        if monotonic() - used < _FRESH_S:
            return connection
        pool.release(connection)
        return pool.get_connection()

    def give(self, pool: ConnectionPool, connection: Any, *, clean: bool) -> None:
        """Give a connection back.

        Args:
            pool: that it is from.
            connection: that was taken.
            clean: whether all replies were read: else it is cut, so that nobody reads
                what was meant for somebody else.
        """
        if not clean:
            connection.disconnect()
        # Sentinels may have named another primary: the pool alone knows.
        if not clean or isinstance(pool, SentinelConnectionPool):
            pool.release(connection)
            return
        at_hand = self._at_hand.get(pool)
        if at_hand is None:
            at_hand = self._at_hand.setdefault(pool, [])
        at_hand.append((connection, monotonic()))

    def drop(self) -> None:
        """Cut all that is at hand."""
        for pool, at_hand in list(self._at_hand.items()):
            with contextlib.suppress(IndexError):  # another thread has taken the last
                while True:
                    self.give(pool, at_hand.pop()[0], clean=False)
