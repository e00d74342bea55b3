"""`SharedEngine`: a TaskFlow engine of which any number may run one flow.

Each process has one; none is special. Its loop asks the server for work, runs it, and
records what came of it; the server knows the structure and decides what may run. So
nothing about a flow lives in an engine that another could not take over::

          ┌────────────── take ◄──────────────┐
          ▼                                   │ nothing held: wait for a hint
    run the item ──► complete, which hands out the next ──► … ──► finish
          │                                                         │
          └── resolve, plan, halt: bookkeeping that is work, too    ▼
                                                              run() ends

An engine belongs to the run that was current when it was made: its first ``run``
returns, or raises, that run's outcome, however late it comes. A later ``run`` of it,
and an engine made after the end, start the next run.

While Redis is away the engine waits and tries again, up to the client's deadline; then
``run`` raises `Unavailable`. What it held, others take over when its lease is over.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Mapping
from typing import Any

from taskflow import exceptions, flow, states, task
from taskflow.engines import base
from taskflow.persistence import models

from redisflow import observing
from redisflow.engine.checking import check_arguments
from redisflow.engine.course import Course
from redisflow.engine.executors import make_executor
from redisflow.engine.items import Move
from redisflow.engine.outcomes import current_run, outcome_of, raise_failures
from redisflow.engine.plans import cancel_run
from redisflow.engine.resetting import reset_flow
from redisflow.engine.settings import Settings
from redisflow.engine.settling import settle_run
from redisflow.engine.starting import refuse_other_structure
from redisflow.engine.structure import Structure, compile_flow
from redisflow.errors import FlowLost, InvalidState
from redisflow.persistence import RedisBackend
from redisflow.storage import Storage

logger = logging.getLogger(__name__)


class SharedEngine(base.Engine):
    """A TaskFlow engine that shares its flow with all others on it.

    Made by ``taskflow.engines.load(..., engine="redisflow")`` or `redisflow.load`.

    Options, beside TaskFlow's ``defer_reverts``, ``never_resolve`` and
    ``inject_transient``:

    * ``executor``: "serial" (default), "threads" or a ``concurrent.futures`` executor;
      ``max_workers``: how many tasks it runs at a time;
    * ``lease_s`` (15.0): how long others wait before they take over from it;
    * ``max_attempts`` (3): how many workers an atom may cost before it fails;
    * ``durability``: "server" (default), or "replicated": claims and results wait for
      every connected replica, at least one, or for ``replicas`` of them;
    * ``claim_all`` (False): take all that is ready, as TaskFlow does, instead of what
      there is room for;
    * ``retention_s``: for how long the flow stays once it has ended, so that others
      still learn of its outcome; without it, what the backend's ``retention_s`` says,
      or for good;
    * ``rerun`` (True): whether to start an ended flow once more; if not, ``run`` gives
      the outcome that it had.
    """

    def __init__(
        self,
        flow: flow.Flow | task.Task,
        flow_detail: models.FlowDetail,
        backend: RedisBackend | None,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(  # type: ignore[no-untyped-call]  # TaskFlow is untyped
            flow, flow_detail, backend, options
        )
        self._settings = Settings(self._options)
        self._task_executor = make_executor(
            self._settings.executor, self._settings.max_workers
        )
        self._structure: Structure | None = None
        self._compilation: Any = None
        self._storage = Storage(flow_detail, backend, self._scopes_of)
        self._settings.check_server(self._storage.backend.config)
        self._run_lock = threading.Lock()
        self._statistics: dict[str, Any] = {}
        self._course: Course | None = None
        self._draining = False
        self._ensured = False
        self._outcome: str | None = None
        self._storage.get_flow_state()
        self._run = self._settings.run or current_run(
            self._storage, rerun=self._settings.rerun
        )

    @property
    def storage(self) -> Storage:
        """The storage of the flow."""
        return self._storage

    @property
    def statistics(self) -> dict[str, Any]:
        """What this engine has done in its last run: ``completed``, ``stale``."""
        return self._statistics

    @property
    def holding(self) -> int:
        """How many pieces of work this engine has taken and not given back."""
        course = self._course
        return 0 if course is None else course.holding

    @property
    def on_since(self) -> float | None:
        """Since when it has taken work, on the local clock; None if it does not."""
        course = self._course
        return None if course is None else course.on_since

    @property
    def run_number(self) -> int:
        """Number of the run that this engine belongs to."""
        return self._run

    @property
    def over(self) -> bool:
        """Whether the run that this engine belongs to had ended when it was loaded."""
        return outcome_of(self._storage, self._run) is not None

    @property
    def compilation(self) -> Any:
        """TaskFlow's compilation of the flow; None before `compile`."""
        if self._compilation is None and self._structure is not None:
            self._compilation = self._structure.compilation()
        return self._compilation

    def compile(self, structure: Structure | None = None) -> None:
        """Compile the flow.

        Args:
            structure: of this flow with the options of this engine, if it was compiled
                before.

        Raises:
            Duplicate: two atoms have one name.
        """
        if self._structure is None:
            self._structure = structure or compile_flow(
                self._flow, self._settings.shared
            )

    def prepare(self) -> None:
        """Make sure that every atom has its details.

        Raises:
            StructureMismatch: live workers run another structure; nothing is written.
        """
        structure = self._compiled("prepare")
        if self._ensured:
            return
        self._storage.ensure_atoms(structure.atoms.values())
        self._inject_atoms(structure, transient=self._settings.inject_transient)
        self._ensured = True

    def validate(self) -> None:
        """Check that every argument of every atom has a provider.

        Raises:
            MissingDependencies: one has none.
        """
        structure = self._compiled("validate")
        if not self._ensured:
            raise InvalidState(
                "Can not validate an engine which has not had its storage populated"
            )
        self._check_arguments(structure)

    def reset(self) -> None:
        """Put all atoms back to PENDING, to run the whole flow once more.

        Raises:
            InvalidState: workers run the flow, or its state does not allow it; nothing
                was changed.
        """
        structure = self._compiled("reset")
        if not self._ensured:
            raise InvalidState(
                "Can not reset an engine which has not had its storage populated"
            )
        reset_flow(self._storage, structure, self.atom_notifier, self._notify)

    def suspend(self, reason: str = "") -> None:
        """Ask all workers of the flow to stop after what they are doing.

        Args:
            reason: why, for people.
        """
        self._compiled("suspend")
        moved, old = self._storage.change_flow_state(
            states.SUSPENDING, act="suspend", reason=reason
        )
        if moved:
            move = Move(old, states.SUSPENDING)
            course = self._course
            (self._notify if course is None else course.moved)(move)

    def cancel(self, reason: str = "") -> None:
        """Have all be reverted that this run has done, by whichever workers there are.

        What is being executed comes to its end first; nothing else begins. Every
        engine's ``run`` then raises `FlowCancelled`. A suspended flow is reverted by
        its next run.

        Args:
            reason: why, for people.

        Raises:
            InvalidState: the run has not begun, or it is over.
        """
        self._compiled("cancel")
        self._storage.get_flow_state()
        run = self._run
        record = self._storage.mirror.flow
        if record is not None and record.state == states.SUSPENDED:
            run = record.run
        course = self._course
        moved = self._notify if course is None else course.moved
        for move in cancel_run(self._storage, run, reason=reason):
            moved(move)

    def note_run(self) -> None:
        """Store what observers tell of a run that is about to be begun anew."""
        record = self._storage.mirror.flow
        if record is not None and self._run > record.run:
            entries = observing.metadata(self._run)
            self._storage.update_flow_metadata(entries)

    def refuse_other_structure(self) -> None:
        """Look whether live workers run this flow with another structure.

        Raises:
            StructureMismatch: they do.
        """
        structure = self._compiled("check")
        self._storage.mirror.sync()
        refuse_other_structure(self._storage, self._run, structure)

    def settle(self) -> None:
        """End a run that was told to suspend, if no worker is left to do so."""
        attempts = self._settings.max_attempts
        settle_run(self._storage, self._run, max_attempts=attempts)

    def drain(self) -> None:
        """Ask this engine to take no more; the flow goes on without it."""
        self._draining = True
        course = self._course  # it may end meanwhile, in its own thread
        if course is not None:
            course.drain()

    def run(self, timeout: float | None = None) -> None:
        """Take part in the flow until its run is over.

        Returns when the flow is in SUCCESS or SUSPENDED (or this engine was drained).

        Args:
            timeout: as in TaskFlow; it bounds single waits, never the run.

        Raises:
            Exception: what a task raised, if the flow was reverted or failed; a
                ``WrappedFailure`` if it was more than one or raised elsewhere.
            FlowCancelled: somebody had it reverted; in a ``WrappedFailure`` if an atom
                has failed as well.
            ExecutionFailure: this engine is running already.
            MissingDependencies: an argument has no provider; nothing was written.
            StructureMismatch: live workers run another structure.
            StoreError: the server cannot be used.
        """
        if not self._run_lock.acquire(blocking=False):
            message = "Engine currently locked, please try again later"
            raise exceptions.ExecutionFailure(message)
        try:
            self._outcome = _ended(self._take_part(stepwise=False, timeout_s=timeout))
        finally:
            self._run_lock.release()
        self.raise_outcome()

    def run_iter(self, timeout: float | None = None) -> Generator[str, Any, None]:
        """Take part in the flow phase by phase, as `run` does in one go.

        A true value that is sent in suspends the flow, and so does closing the
        iterator; an exception that is thrown in ends the run.

        Args:
            timeout: longest time in the phase WAITING, in seconds.

        Yields:
            RESUMING, SCHEDULING, WAITING, ANALYZING, and at last the flow's state.

        Raises:
            Exception: as `run` does.
        """
        phases = self._take_part(stepwise=True, timeout_s=timeout)
        closed = False
        while True:
            try:
                phase = next(phases)
            except StopIteration as end:
                self._outcome = end.value
                break
            if not closed:
                closed = yield from self._hand_out(phase)
        if not closed and self._outcome not in {None, states.FAILURE}:
            yield str(self._outcome)
        self.raise_outcome()

    def _hand_out(self, phase: str) -> Generator[str, Any, bool]:
        """Give a phase to the caller of `run_iter`; returns whether it was the last."""
        try:
            suspends = yield phase
        except GeneratorExit:
            self.suspend()
            return True
        except Exception as error:  # noqa: BLE001  # as in TaskFlow: it ends the run
            if self._course is not None:
                self._course.halt(error)
            return True
        if suspends:
            self.suspend()
        return False

    def outcome(self) -> str | None:
        """Ask how the run that this engine belongs to has ended; None if it is on.

        Raises:
            StoreError: the server cannot be used.
        """
        if self._outcome is None:
            self._storage.mirror.sync()
            self._outcome = outcome_of(self._storage, self._run)
        return self._outcome

    @property
    def outcome_known(self) -> bool:
        """Whether this engine has seen the end of its run."""
        return self._outcome is not None

    def raise_outcome(self) -> None:
        """Raise what made the run fail, if this engine has seen it end so."""
        if self._outcome is not None:
            raise_failures(self._storage, self._outcome)

    # The course of a run

    def _take_part(
        self, *, stepwise: bool, timeout_s: float | None
    ) -> Generator[str, None, str | None]:
        """Work until the run is over; returns how it ended, None if drained."""
        self.compile()
        structure = self._compiled("run")
        self._storage.mirror.sync()
        anew = self._outcome is not None
        if anew:
            self._run += 1
            self._outcome = None
        refuse_other_structure(self._storage, self._run, structure)
        outcome = outcome_of(self._storage, self._run)
        if outcome is not None:
            return outcome
        if anew:
            self.note_run()
        self._check_arguments(structure)
        resumes = not self._ensured
        self.prepare()
        self._storage.note_transients(lambda name: structure.atoms[name].inject or {})
        course = self._course = Course(
            self._storage,
            self._settings,
            structure,
            run=self._run,
            executor=self._task_executor,
            atom_notifier=self.atom_notifier,
            notify=self._notify,
            prepare=self._prepare_anew,
        )
        self._statistics = course.statistics
        try:
            if self._draining:
                course.drain()
            return (
                yield from course.steps(
                    resumes=resumes, stepwise=stepwise, timeout_s=timeout_s
                )
            )
        finally:
            self._course = None

    def _notify(self, move: Move) -> None:
        """Tell listeners of a transition of the flow."""
        details = {
            "engine": self,
            "flow_name": self._storage.flow_name,
            "flow_uuid": self._storage.flow_uuid,
            "old_state": move.old,
        }
        self.notifier.notify(move.new, details)

    # Before a run

    def _compiled(self, what: str) -> Structure:
        if self._structure is None:
            raise InvalidState(f"Can not {what} an engine which has not been compiled")
        return self._structure

    def _scopes_of(self, atom_name: str) -> Any:
        return None if self._structure is None else self._structure.scopes(atom_name)

    def _prepare_anew(self) -> None:
        """Make details again that were lost with a server.

        Raises:
            FlowLost: values are gone that the flow was given.
        """
        structure = self._compiled("prepare")
        try:
            self._check_arguments(structure)
        except exceptions.MissingDependencies as error:
            key = self._storage.backend.keys.of_flow(self._storage.flow_uuid).flow
            message = f"flow {self._storage.flow_uuid} has lost values ({key})"
            raise FlowLost(message, key=key) from error
        self._ensured = False
        self.prepare()
        self._storage.note_transients(lambda name: structure.atoms[name].inject or {})

    def _inject_atoms(self, structure: Structure, *, transient: bool) -> None:
        for atom in structure.atoms.values():
            if atom.inject:
                self._storage.inject_atom_args(
                    atom.name, atom.inject, transient=transient
                )

    def _check_arguments(self, structure: Structure) -> None:
        storage = self._storage
        values, into_atoms = storage.injected_values(), storage.injected_into_atoms()
        elsewhere = dict.fromkeys(storage.transients_elsewhere())
        check_arguments(self._flow, structure, {**elsewhere, **values}, into_atoms)


def _ended(phases: Generator[str, None, str | None]) -> str | None:
    """Let a generator of phases go through; returns what it returns."""
    while True:
        try:
            next(phases)
        except StopIteration as end:
            outcome: str | None = end.value
            return outcome
