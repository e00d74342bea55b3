"""One engine's part in one run: coming, working, leaving.

A course is made for each call of an engine's ``run``. It joins the run, or starts it,
works until the run is over or this engine is drained, and leaves. Listeners hear of
each of the flow's transitions once, whoever made it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import suppress
from time import monotonic
from typing import Any

from taskflow import states
from taskflow.types import notifier

from redisflow.codec import failure_from
from redisflow.engine.atoms import AtomRunner
from redisflow.engine.executors import Executor
from redisflow.engine.items import Move
from redisflow.engine.membership import Membership
from redisflow.engine.settings import Settings
from redisflow.engine.settling import settle_run
from redisflow.engine.starting import Start
from redisflow.engine.stepping import SteppingLoop
from redisflow.engine.structure import Structure
from redisflow.engine.worker import Worker
from redisflow.errors import FlowLost, StoreError
from redisflow.storage import Storage

logger = logging.getLogger(__name__)


class Course:
    """One engine's part in one run.

    Args:
        storage: the flow.
        settings: the engine's options.
        structure: of the flow.
        run: number of the run.
        executor: where tasks run.
        atom_notifier: told of what atoms do here.
        notify: told of each of the flow's transitions.
        prepare: makes sure that every atom has its details, if they were lost.

    Attributes:
        statistics: of the loop, see `Loop`.
    """

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        structure: Structure,
        *,
        run: int,
        executor: Executor,
        atom_notifier: notifier.Notifier,
        notify: Callable[[Move], object],
        prepare: Callable[[], object],
    ) -> None:
        self._storage = storage
        self._structure = structure
        self._run = run
        self._executor = executor
        self._atom_notifier = atom_notifier
        self._notify = notify
        self._keep_s = settings.retention_s
        if self._keep_s is None:
            self._keep_s = storage.backend.config.retention_s
        self._prepare = prepare
        self._max_attempts = settings.max_attempts
        self._drained = False
        self._told_state: str | None = None
        #: When the run was on, on the local clock; None as long as it is not.
        self.on_since: float | None = None
        self._membership = Membership(
            storage,
            run=run,
            lease_s=settings.lease_s,
            max_attempts=settings.max_attempts,
            tag=settings.worker_tag,
        )
        self._worker = Worker(
            storage, self._membership, run=run, replication=settings.replication
        )
        self._loop = SteppingLoop(
            storage,
            self._membership,
            self._worker,
            structure,
            executor=executor,
            settings=settings,
            atom_notifier=atom_notifier,
            moved=self.moved,
            rejoin=self._rejoin,
        )
        self.statistics: dict[str, Any] = self._loop.statistics

    def steps(
        self, *, resumes: bool, stepwise: bool, timeout_s: float | None = None
    ) -> Generator[str, None, str | None]:
        """Take part in the run.

        Args:
            resumes: whether a flow that was begun before is RESUMING first.
            stepwise: give TaskFlow's names of the phases of the work, and begin nothing
                before the next one is asked for.
            timeout_s: longest time in the phase WAITING.

        Returns:
            How the run ended; None if this engine was drained.
        """
        known_state = self._storage.get_flow_state()
        try:
            start = Start(
                self._storage,
                self._membership,
                self._run,
                self._structure,
                self.moved,
                resumes=resumes,
                keep_s=self._keep_s,
                drained=lambda: self._drained,
            )
            outcome = start.until_on()
            if outcome is not None:
                self._membership.forget()
                return outcome
            if start.given_up:
                self._membership.leave()
                return None
            self.on_since = monotonic()
            if start.joined or known_state != states.RUNNING:
                self._tell_state(known_state, states.RUNNING)
            self._executor.start()
            self._loop.watch.join()
            try:
                outcome = yield from self._work(stepwise=stepwise, timeout_s=timeout_s)
            finally:
                self._loop.watch.leave()
        except BaseException as error:
            # Whatever it was, the others must not wait for the lease.
            self._leave(charged=isinstance(error, SystemExit))
            raise
        if outcome is None:
            self._membership.leave()
            self._settle()
        else:
            self._membership.forget()
            self._storage.get_flow_state()  # the flow detail shows the end, too
            if outcome == states.SUSPENDED != self._told_state:
                self._tell_state(states.RUNNING, states.SUSPENDING)
            self._tell_state(states.RUNNING, outcome)
        return outcome

    def _work(
        self, *, stepwise: bool, timeout_s: float | None
    ) -> Generator[str, None, str | None]:
        """Work until the run is over, and wait for what runs here still."""
        try:
            if stepwise:
                outcome = yield from self._loop.steps(timeout_s)
            else:
                outcome = self._loop.until_the_end()
        except BaseException:
            self._executor.stop(cancels=True)
            raise
        else:
            self._executor.stop()
            return outcome
        finally:
            self._loop.hand_in_late()  # what has ended here is not to be done again

    def _settle(self) -> None:
        """End a run that can end now, if this was the last of its workers."""
        with suppress(FlowLost, StoreError):  # whoever comes next does it
            self._storage.mirror.sync()
            if not self._storage.mirror.live:
                attempts = self._max_attempts
                settle_run(self._storage, self._run, max_attempts=attempts)

    @property
    def holding(self) -> int:
        """How many items are held."""
        return self._loop.holding

    def drain(self) -> None:
        """Take no more; end once nothing is held. Safe in a signal handler."""
        self._drained = True
        self._loop.drain()

    def halt(self, error: Exception) -> None:
        """End the run for an error from outside of it."""
        self._worker.halt_run(failure_from(error))

    def moved(self, move: Move) -> None:
        """Tell listeners of a transition of the flow."""
        if move.new == states.PENDING:
            runner = AtomRunner(self._storage, self._atom_notifier)
            atoms = self._structure.atoms
            runner.tell_changes(runner.states_of(atoms), states.PENDING, atoms)
        if move.old == states.SUSPENDING and self.on_since is not None:
            self._tell_state(states.RUNNING, move.old)  # somebody else has asked for it
        self._told_state = move.new
        self._notify(move)

    def _rejoin(self) -> None:
        """Start the run once more, or join those who do: its start was lost."""
        logger.warning(
            "run %d of flow %r was lost with its server: it is started once more",
            self._run,
            self._storage.flow_name,
        )
        self._prepare()
        Start(
            self._storage,
            self._membership,
            self._run,
            self._structure,
            lambda move: self._tell_state(move.old, move.new),
        ).until_on()

    def _tell_state(self, old: str, state: str) -> None:
        """Tell listeners of a state of the flow, unless they know it."""
        if self._told_state != state:
            self.moved(Move(self._told_state or old, state))

    def _leave(self, *, charged: bool) -> None:
        try:
            self._membership.leave(charged=charged)
        except Exception as error:  # noqa: BLE001  # another one is on its way
            logger.warning("could not say goodbye: %s", error)
