"""Signal handlers of this process alone, not of those that its tasks fork.

A forked process begins with its parent's handlers. They would drain an engine that is
not there; and Python forgets what comes before it has begun there: whoever forks and
ends a process at once, as ``multiprocessing.Pool`` may, would wait for it for good. So
these signals are held back while a process is forked, and end it as they would end any
other.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], object]

_handlers: dict[int, Handler] = {}
_forking = threading.local()


def handle(number: int, handler: Handler) -> Any:
    """Have a signal handled in this process; returns the handler that it had."""
    before = signal.signal(number, handler)
    _handlers[number] = handler
    return before


def _hold() -> None:
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _handlers)


def _let_go() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def _forget() -> None:
    while _handlers:
        number, handler = _handlers.popitem()
        if signal.getsignal(number) is handler:
            signal.signal(number, signal.SIG_DFL)
    _let_go()


os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_forget)
