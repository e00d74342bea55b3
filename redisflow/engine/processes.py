"""Several worker processes on this host that run one flow together.

`LocalRun` is the parent: it opens the flow, starts the workers, replaces those that
die, and tells the flow of a death at once, so that nobody waits for the dead one's
lease. It runs no task itself, and the flow does not need it: without the parent the
workers go on until the run is over.

Ctrl-C reaches the parent alone, which then suspends the flow: each worker ends what it
is doing and leaves. See `redisflow.engine.children` for the processes.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any

from taskflow import states

from redisflow.client import Outage
from redisflow.codec import Codec
from redisflow.engine.children import Children
from redisflow.engine.factories import FactoryCall, FlowOrTask
from redisflow.engine.loading import open_run
from redisflow.engine.shared import SharedEngine
from redisflow.errors import (
    ConfigError,
    InvalidState,
    NotFound,
    StoreError,
    Unavailable,
)
from redisflow.persistence import RedisBackend
from redisflow.storage import Mirror

logger = logging.getLogger(__name__)

#: Longest time between two looks of the parent at its workers, in seconds.
_LOOK_S = 0.2

#: How often the parent asks what has changed in the flow, in seconds.
_SYNC_S = 0.2

Watcher = Callable[[Mirror], object]


class LocalRun:
    """A run of a flow by worker processes of this host.

    Args:
        call: the factory of the flow, and what it is called with.
        workers: how many processes; more than 0.
        run_id: names the flow; None makes a random one.
        store: values for the flow.
        url: the server; None: ``REDISFLOW_URL``, or the embedded one.
        rerun: start a run that has ended once more.
        options: of the workers' engines.
        output: the file descriptor to which workers write what they would write to
            standard output and standard error; None leaves both as they are here.
        environment: what workers have in their environment beside this process's.

    Attributes:
        run_id: the flow's name, also if it was made up.
        engine: on the same flow; it takes no part in running it.
        deaths: how many workers died.
        dead: which ones, each with what became of it.

    Raises:
        ConfigError: the factory, the URL or an option cannot be used.
        MissingDependencies: an argument has no provider; nothing was written.
        InvalidState: live workers run it with another value for a name in ``store``.
        StoreError: the server cannot be used.
    """

    def __init__(
        self,
        call: FactoryCall,
        *,
        workers: int = 4,
        run_id: str | None = None,
        store: Mapping[str, Any] | None = None,
        url: str | None = None,
        rerun: bool = False,
        options: Mapping[str, Any] | None = None,
        output: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if workers < 1:
            raise ConfigError(f"workers is at least 1, not {workers}")
        task, options = _task_of(call), dict(options or {})
        self._workers = workers
        self.flow: FlowOrTask = call.make_flow()
        #: Whether somebody has asked to suspend it, here or elsewhere.
        self._stops = False
        #: Whether it was asked for here; what has not begun cannot be told yet.
        self._asked = False
        self._reason = ""
        #: Whether it was left so by an earlier run; that is gone on with.
        self._left_suspending = True
        self._outage = Outage()
        with contextlib.ExitStack() as undoing:
            self._backend = RedisBackend.from_url(url)
            undoing.callback(self._backend.close)
            opened = open_run(self._backend, self.flow, run_id=run_id)
            self.run_id = opened.run_id
            self.engine: SharedEngine = opened.engine(
                store=store, rerun=rerun, **options
            )
            undoing.pop_all()
        # Not "the current one": the run may be over when the worker gets there.
        options["run"] = self.engine.run_number
        self._children = Children(
            self.engine.storage,
            {**task, "run_id": self.run_id, "url": url, "options": options},
            max_attempts=int(options.get("max_attempts") or 3),
            output=output,
            environment=dict(environment or {}),
        )

    def __enter__(self) -> LocalRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def deaths(self) -> int:
        """How many workers died."""
        return len(self._children.deaths)

    @property
    def dead(self) -> list[str]:
        """Which workers died, each with what became of it."""
        return list(self._children.deaths)

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are at work."""
        return self._children.pids

    def run(self, watch: Watcher | None = None) -> str:
        """Run the flow to its end; returns the state in which it ended.

        May be called again after an interruption: it goes on with the same workers.

        Args:
            watch: called with the mirror whenever something may have changed.

        Raises:
            StructureMismatch: live workers run another structure.
            WorkersFailed: no worker can take part.
            StoreError: the server cannot be used.
        """
        self.engine.compile()
        self.engine.refuse_other_structure()
        outcome = self._look_at_flow()
        next_sync = 0.0
        while outcome is None:
            self._look_after_children()
            if self._stops and not self._children and not self.engine.outcome_known:
                if not self._begun:
                    outcome = states.SUSPENDED
                    break
                self.engine.settle()
            if monotonic() >= next_sync or not self._children:
                outcome = self._look_at_flow()
                if watch is not None:
                    watch(self.engine.storage.mirror)
                next_sync = monotonic() + _SYNC_S
            if outcome is None:
                self._children.wait_for_an_end(_LOOK_S)
        # They were woken to notice the end.
        self._children.wait(self._backend.config.deadline_s + 5)
        self.engine.outcome()
        if watch is not None:
            watch(self.engine.storage.mirror)
        return outcome

    def suspend(self, reason: str = "") -> None:
        """Ask all workers of the flow, here and elsewhere, to stop after their atom.

        Args:
            reason: why, for people.
        """
        self._stops = self._asked = True
        self._reason = reason
        self.engine.compile()
        self._ask_to_suspend()

    def _ask_to_suspend(self) -> None:
        """Tell the workers; while the run is being started, they cannot be told."""
        with contextlib.suppress(InvalidState):
            self.engine.suspend(self._reason)

    @property
    def _begun(self) -> bool:
        """Whether the run is on, as far as is known."""
        flow = self.engine.storage.mirror.flow
        return flow is not None and flow.state in (states.RUNNING, states.SUSPENDING)

    def results(self) -> dict[str, Any]:
        """Return all named results of the flow."""
        return self.engine.storage.fetch_all()

    def raise_failures(self) -> None:
        """Raise what made the flow fail, if it did."""
        self.engine.raise_outcome()

    def kill(self) -> None:
        """Kill all workers; what they held goes back to the flow."""
        self._children.kill()

    def close(self) -> None:
        """Kill what is still running here, and disconnect."""
        try:
            # With the server away leases end it; a flow that is gone needs no end.
            with contextlib.suppress(StoreError, NotFound):
                self.kill()
        finally:
            self._backend.close()

    def _look_at_flow(self) -> str | None:
        """Return how the run has ended, if it has, and note whether it is to stop.

        Workers that are amid their tasks outlive an outage: then nothing is known.
        """
        began = monotonic()
        try:
            outcome = self.engine.outcome()
        except Unavailable as error:
            if not self._children:
                raise
            away_s = self._outage.lasts(began)
            if away_s is not None:
                words = "waiting for the server, as the workers do, for %.0f s: %s"
                logger.warning(words, away_s, error)
            return None
        away_s = self._outage.ends()
        if away_s is not None:
            logger.warning("the server is back, after %.0f s", away_s)
        flow = self.engine.storage.mirror.flow
        suspending = flow is not None and flow.state == states.SUSPENDING
        self._left_suspending = self._left_suspending and suspending
        self._stops = self._stops or (suspending and not self._left_suspending)
        if self._asked and self._begun and not suspending and outcome is None:
            self._ask_to_suspend()
        return outcome

    def _look_after_children(self) -> None:
        """Replace workers that have ended; before the first look there are none."""
        for end in self._children.bury():
            if self._look_at_flow() is None:
                atoms = max(1, len(self.engine.storage.mirror.atoms))
                self._children.note(end, limit=10 + 5 * self._workers * atoms)
            elif end.died:  # others have ended the run meanwhile
                self._children.count(end)
        if self.engine.outcome_known or self._stops:
            return
        while len(self._children) < self._workers:
            self._children.start()


def _task_of(call: FactoryCall) -> dict[str, Any]:
    """Tell a worker what makes the flow, as JSON can."""
    # Through a pipe of our own, without the hook that the server's values have.
    codec = Codec()
    return {
        "reference": call.reference,
        "args": codec.encode(list(call.args)).decode("latin-1"),
        "kwargs": codec.encode(dict(call.kwargs)).decode("latin-1"),
    }


def run(
    factory: str | Callable[..., FlowOrTask],
    *,
    workers: int = 4,
    run_id: str | None = None,
    store: Mapping[str, Any] | None = None,
    url: str | None = None,
    factory_args: Sequence[Any] = (),
    factory_kwargs: Mapping[str, Any] | None = None,
    rerun: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Run a flow with several worker processes here, until it ends.

    Args:
        factory: makes the flow: a callable at a module's top level, ``module:name`` or
            ``file.py:name``.
        workers: how many processes.
        run_id: names the flow; other processes, here and elsewhere, can take part in
            it. None makes a random one.
        store: values for the flow.
        url: the server; None: ``REDISFLOW_URL``, or the embedded one.
        factory_args: positional arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        rerun: start a run that has ended once more, instead of giving its outcome.
        options: of the workers' engines, see `SharedEngine`.

    Returns:
        All named results, as ``storage.fetch_all()`` gives them; of a run that was
        suspended those that there are.

    Raises:
        Exception: what made the flow fail, as TaskFlow's ``WrappedFailure``.
        WorkersFailed: no worker process can take part, or too many have died.
        RedisFlowError: the flow could not be run.
    """
    call = FactoryCall.of(factory, factory_args, factory_kwargs)
    with LocalRun(
        call,
        workers=workers,
        run_id=run_id,
        store=store,
        url=url,
        rerun=rerun,
        options=options,
    ) as local:
        try:
            outcome = local.run()
        except KeyboardInterrupt:
            local.suspend("interrupted")
            local.run()
            raise
        if outcome != states.SUCCESS:
            local.raise_failures()
        return local.results()
