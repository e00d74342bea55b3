"""A signal at a chosen call to the server: death, as ``kill -9``, a pause or a drain.

Only calls of the main thread count, so that the number of a call means the same in
every run: heartbeats come when they come.
"""

from __future__ import annotations

import functools
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from redisflow.client import Client
from redisflow.scripts import catalogue


@dataclass(frozen=True, slots=True)
class FailPoint:
    """A call at which a process dies, or gets another signal.

    Attributes:
        nth: which of the calls, from 1.
        where: before it is sent, or after its reply has come.
        script: counts calls of this script only; None counts all calls.
        since: begins to count only after a call of this script.
        number: the signal.
    """

    nth: int
    where: Literal["before", "after"]
    script: str | None = None
    since: str | None = None
    number: signal.Signals = signal.SIGKILL


def arm(point: FailPoint) -> Callable[[], int]:
    """Set the trap in this process; the last thing to be done before work begins.

    Returns:
        What tells how many calls have been counted.
    """
    names = {script.sha: script.name for script in catalogue().values()}
    count = 0
    begun = point.since is None

    def wrap(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def counted(client: Client, first: Any, *rest: Any, **options: Any) -> Any:
            nonlocal begun, count
            if threading.current_thread() is not threading.main_thread():
                return call(client, first, *rest, **options)
            name = names.get(first) if isinstance(first, str) else None
            if begun and point.script in (None, name):
                count += 1
                if count == point.nth:
                    if point.where == "before":
                        os.kill(os.getpid(), point.number)
                        return call(client, first, *rest, **options)
                    reply = call(client, first, *rest, **options)
                    os.kill(os.getpid(), point.number)
                    return reply
            begun = begun or name == point.since
            return call(client, first, *rest, **options)

        return counted

    for method in ("run_script", "execute", "execute_many", "block"):
        setattr(Client, method, wrap(getattr(Client, method)))
    return lambda: count
