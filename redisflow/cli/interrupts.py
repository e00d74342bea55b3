"""Ctrl-C and SIGTERM: the first suspends the flow, the second kills the workers.

(Of ``redisflow worker``: the first drains it, the second ends it at once.)

The first signal only leaves a note, which the run's watcher reads a moment later: a
handler that talked to the server could meet a call that is half-way through. The
second raises `Killed` wherever the program is; from the third on, signals do what
they always do.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from redisflow.engine.signals import handle

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Killed(BaseException):
    """The second signal: the workers are to end at once."""


class Interrupts:
    """Listens to signals while a flow is run; ``with`` ends it.

    Args:
        noted: called by the first signal's handler: it may not talk to the server.

    Attributes:
        received: the name of the first signal, or None.
    """

    def __init__(self, noted: Callable[[], object] = lambda: None) -> None:
        self._noted = noted
        self.received: str | None = None
        self._served = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        for number in _SIGNALS:
            self._before[number] = handle(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def serve(self, suspend: Callable[[], object]) -> None:
        """Call ``suspend``, once, if a signal has come."""
        if self.received and not self._served:
            self._served = True
            suspend()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.received is None:
            self.received = signal.Signals(number).name
            self._noted()
            return
        self._restore()
        raise Killed

    def _restore(self) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)
