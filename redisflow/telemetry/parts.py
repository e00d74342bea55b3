"""What this process takes part in, and how much is waiting there."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

from redisflow.errors import RedisFlowError
from redisflow.observing import Observer, Part, Work

logger = logging.getLogger(__name__)


class Parts(Observer):
    """Keeps the parts of this process, and how much it does at the moment.

    Attributes:
        running: how many atoms run in this process.
    """

    def __init__(self) -> None:
        self.running = 0
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
        del work
        with self._lock:
            self.running += 1

    def ended(self, work: Work, state: str, error: BaseException | None) -> None:
        """Count one less."""
        del work, state, error
        with self._lock:
            self.running -= 1

    def refused(self, work: Work) -> None:
        """Count one less."""
        del work
        with self._lock:
            self.running -= 1

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """Ask the server: each run of this process, what is ready, how many workers.

        Runs that the server does not tell of are left out, with a line in the log.
        """
        with self._lock:
            runs = {part.run: part for part in self._parts.values()}
        for run, part in runs.items():
            try:
                ready, workers = part.counts()
            except RedisFlowError as error:
                logger.debug("no counts of run %s: %s", run, error)
                return  # the others are on the same server
            yield run, ready, workers
