"""Waiting in tests: for something to become true, never for time to pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_STEP_S = 0.01


def eventually(condition: Callable[[], T], within_s: float = 10.0) -> T:
    """Ask until the condition is true, and return what it answered.

    An AssertionError inside the condition counts as "not yet", so that it can be
    written with assert and says at the end what was still wrong.

    Raises:
        AssertionError: it was not true in time.
    """
    deadline = time.monotonic() + within_s
    while True:
        last_error: AssertionError | None = None
        try:
            answer = condition()
        except AssertionError as error:
            last_error = error
        else:
            if answer:
                return answer
        if time.monotonic() >= deadline:
            message = f"not within {within_s} s: {last_error or condition}"
            raise AssertionError(message) from last_error
        time.sleep(_STEP_S)  # noqa: TID251 - the one place that may
