"""What this process takes part in, and how much is waiting there."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator

from redisflow.errors import RedisFlowError, Unavailable
from redisflow.observing import Observer, Part, Work

logger = logging.getLogger(__name__)


class Parts(Observer):
    """Keeps the parts of this process, and how much it does at the moment."""

    def __init__(self) -> None:
        self._works: set[Work] = set()
        self._parts: dict[tuple[str, str], Part] = {}
        self._lock = threading.Lock()

    def joined(self, part: Part) -> None:
        """Keep a part."""
        with self._lock:
            self._parts[part.flow, part.worker] = part

    def left(self, part: Part) -> None:
        """Forget a part."""
        with self._lock:
            self._parts.pop((part.flow, part.worker), None)

    def began(self, work: Work) -> None:
        """Count one more."""
        with self._lock:
            self._works.add(work)

    def ended(self, work: Work, state: str, error: BaseException | None) -> None:
        """Count one less."""
        del state, error
        self._forget(work)

    def refused(self, work: Work) -> None:
        """Count one less."""
        self._forget(work)

    def abandoned(self, work: Work) -> None:
        """Count one less."""
        self._forget(work)

    @property
    def running(self) -> int:
        """How many atoms run in this process."""
        return len(self._works)

    def _forget(self, work: Work) -> None:
        """Work that began before this observer was there is not among them."""
        with self._lock:
            self._works.discard(work)

    @property
    def parts(self) -> int:
        """How many workers of this process take part in a run."""
        return len(self._parts)

    def counts(self) -> Iterator[tuple[str, int, int, int]]:
        """Ask the server about each run of this process.

        Gives the run, how many workers of this process take part in it, how many items
        are ready, and how many workers there are in all.

        Runs that the server does not tell of are left out, with a line in the log.
        """
        with self._lock:
            parts = list(self._parts.values())
        here = Counter(part.run for part in parts)
        for run, part in {part.run: part for part in parts}.items():
            try:
                ready, workers = part.counts()
            except Unavailable as error:
                logger.debug("no counts: %s", error)
                return  # the others are, most often, on the same server
            except RedisFlowError as error:
                logger.debug("no counts of run %s: %s", run, error)
                continue
            yield run, here[run], ready, workers
