"""The part that a serving worker takes in one flow: an engine in its own thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

from taskflow import states

from redisflow.engine.allowing import Allowed
from redisflow.engine.shared import SharedEngine
from redisflow.engine.submissions import Submission
from redisflow.engine.submitting import OPTIONS
from redisflow.persistence import RedisBackend

#: An engine that has just come is not taken for one that has nothing to do.
_SETTLED_S = 1.0


class Part:
    """Takes part in one flow until its run is over, or this is drained.

    Args:
        submission: of the flow.
        backend: where it is.
        allowed: what may be imported for it.
        lease_s: of the engine; None leaves it to the submission.

    Attributes:
        submission: of the flow.
        began: when it was joined, on the local clock.
        outcome: how the run ended; None if it did not, or is not known.
        error: what the engine, or the flow, raised.
        made: whether the factory has made the flow.
        leaving: whether it takes no more.
    """

    def __init__(
        self,
        submission: Submission,
        backend: RedisBackend,
        allowed: Allowed,
        *,
        lease_s: float | None,
    ) -> None:
        self.submission = submission
        self.began = monotonic()
        self.outcome: str | None = None
        self.error: BaseException | None = None
        self.made = False
        self.leaving = False
        self._backend = backend
        self._allowed = allowed
        self._lease_s = lease_s
        self._engine: SharedEngine | None = None

    @property
    def has_nothing(self) -> bool:
        """Whether the engine has had time to take something, and has nothing."""
        engine = self._engine
        since = None if engine is None else engine.on_since
        if engine is None or since is None:
            return False  # it has still to compile, or to start the run
        return monotonic() - since > _SETTLED_S and not engine.holding

    def start(self, done: Callable[[Part], object]) -> None:
        """Begin; ``done`` is called in the end, from this part's thread."""
        threading.Thread(
            target=self._run,
            args=(done,),
            name=f"redisflow-{self.submission.run_id}",
            daemon=True,  # whoever ends the process at once does not wait for it
        ).start()

    def drain(self) -> None:
        """Take no more."""
        self.leaving = True
        if self._engine is not None:
            self._engine.drain()

    def _run(self, done: Callable[[Part], object]) -> None:
        try:
            engine = self._engine = self._open()
            if not self.leaving:
                engine.run()
        except BaseException as error:  # noqa: BLE001  # a thread's end: it is told
            self.error = error
        finally:
            if self._engine is not None and self._engine.outcome_known:
                self.outcome = self._engine.outcome()
            done(self)

    def _open(self) -> SharedEngine:
        """Import the factory, call it, and load an engine on the flow."""
        submission, allowed = self.submission, self._allowed
        call = submission.call
        allowed.check(call.reference)
        flow = call.make_flow(
            lambda factory: allowed.check_factory(call.reference, factory)
        )
        self.made = True
        options = {
            name: value for name, value in submission.options.items() if name in OPTIONS
        }
        if self._lease_s is not None:
            options["lease_s"] = self._lease_s
        # Read, so that a flow that is removed meanwhile is lost, and not made anew.
        connection = self._backend.get_connection()
        detail = connection.get_flow_details(submission.uuid, lazy=True)
        engine = SharedEngine(
            flow, detail, self._backend, {**options, "run": submission.run}
        )
        # Where nobody was left to end what was to be suspended, it is not gone on with.
        if detail.state == states.SUSPENDING:
            engine.settle()
        return engine
