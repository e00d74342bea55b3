"""Hints of one engine: that there may be work, told by other workers.

While nothing runs here the loop itself waits for them on the server. While tasks run
and there is room for more, a thread does, and wakes the loop. A hint may be lost, so
every wait is bounded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from redisflow.engine.membership import Membership

logger = logging.getLogger(__name__)

#: Longest wait on the server at a time, in seconds.
_SLICE_S = 1.0


class Hints:
    """Waits for hints.

    Args:
        membership: of the worker that they are for.
        wait_s: longest wait.
        wake: called from the thread that listens, when a hint or the end of a wait has
            come.
    """

    def __init__(
        self, membership: Membership, *, wait_s: float, wake: Callable[[], object]
    ) -> None:
        self._membership = membership
        self._wait_s = wait_s
        self._wake = wake
        self._over = threading.Event()
        self._ear: threading.Thread | None = None

    @property
    def listening(self) -> bool:
        """Whether a thread waits for hints: it would take them from who waits here."""
        return self._ear is not None and self._ear.is_alive()

    def wait(
        self, has_news: Callable[[], bool], longest_s: float | None = None
    ) -> None:
        """Wait on the server, in slices, so that other news is soon heard."""
        until = monotonic() + min(self._wait_s, longest_s or self._wait_s)
        while not has_news():
            left_s = until - monotonic()
            if left_s <= 0 or self._membership.wait(min(left_s, _SLICE_S)):
                return

    def listen(self) -> None:
        """Have a thread wait for hints from now on."""
        if not self.listening:
            self._ear = threading.Thread(
                target=self._hear, name="redisflow-hints", daemon=True
            )
            self._ear.start()

    def stop(self) -> None:
        """Let the thread end, after its present wait."""
        self._over.set()

    def _hear(self) -> None:
        while not self._over.is_set():
            try:
                self._membership.wait(self._wait_s)
            except Exception as error:  # noqa: BLE001  # hints are only hints
                logger.debug("no hints: %s", error)
                return
            self._wake()
