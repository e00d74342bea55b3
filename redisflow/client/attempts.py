"""One call after its first failure: again and again, until it is done or too late.

The pauses are tenacity's: random, growing, and cut short by `Client.close` or by
the deadline, at which one last attempt is made.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

import tenacity

from redisflow.client.faults import REDIS_ERRORS, Fault
from redisflow.errors import Outcome

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: The pause after failure n is random, up to 20 ms · 2ⁿ⁻¹, and at most a second.
_PAUSE = tenacity.wait_random_exponential(multiplier=0.02, max=1.0)


class Attempts(Generic[T]):
    """The attempts of one call.

    Args:
        attempt: makes one.
        judge: tells what its error means.
        deadline: end of the time for it, by `time.monotonic`.
        closing: set when the client is closed.
        failed: the error of an attempt that was made already.

    Attributes:
        fault: what the last error means.
        outcome: what became of the change in all the attempts together.
    """

    def __init__(
        self,
        attempt: Callable[[], T],
        judge: Callable[[Exception], Fault],
        *,
        deadline: float,
        closing: threading.Event,
        failed: Exception | None,
    ) -> None:
        self.fault: Fault | None = None
        self.outcome: Outcome = "not applied"
        self._make = attempt
        self._judge = judge
        self._deadline = deadline
        self._closing = closing
        self._failed = failed

    def run(self) -> T:
        """Go on until one attempt succeeds, or raise the error of the last one."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._may_pass),
            stop=self._too_late,
            wait=self._pause,
            sleep=tenacity.sleep_using_event(self._closing),
            reraise=True,
        )
        return retrying(self._attempt)

    def _attempt(self) -> T:
        failed, self._failed = self._failed, None
        if failed is not None:
            raise failed
        return self._make()

    def _may_pass(self, error: BaseException) -> bool:
        if not isinstance(error, REDIS_ERRORS):
            return False
        fault = self.fault = self._judge(error)
        # Once in doubt, always in doubt: a later answer does not tell about then.
        if fault.outcome == "unknown":
            self.outcome = "unknown"
        if fault.passing:
            LOG.debug("will be sent again: %s", fault.reason)
        return fault.passing

    def _too_late(self, _state: tenacity.RetryCallState) -> bool:
        return self._closing.is_set() or monotonic() >= self._deadline

    def _pause(self, state: tenacity.RetryCallState) -> float:
        return max(0.0, min(_PAUSE(state), self._deadline - monotonic()))
