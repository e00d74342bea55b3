"""Running the code of users: what happens between taking and completing an atom.

Order of what a listener sees is TaskFlow's: the state is stored, then the notification
goes out, then the code runs. No lock is held meanwhile. What the code raises becomes
its result, a `Failure`; what goes wrong *around* it (arguments that cannot be found, a
``post_execute`` that raises) ends the run, as in TaskFlow.
"""

from __future__ import annotations

import contextvars
import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from taskflow import exceptions, retry, states, task
from taskflow.types import notifier

from redisflow.codec import failure_from
from redisflow.engine.compiling import Atom
from redisflow.engine.items import Item, Outcome
from redisflow.storage import Storage

logger = logging.getLogger(__name__)


class Current(NamedTuple):
    """What the running code is a part of.

    Attributes:
        flow_uuid: the flow.
        atom_uuid: the atom.
        round: grows each time that the atom is begun anew, not when a worker takes it
            over from a dead one.
        attempt: how many workers this round has cost before.
        token: fences the result.
        kind: ``execute`` or ``revert``.
        run_id: the run id, or the flow's name if it was loaded without one.
        atom: the atom's name.
        worker: who does it.
    """

    flow_uuid: str
    atom_uuid: str
    round: int
    attempt: int
    token: str
    kind: str
    run_id: str = ""
    atom: str = ""
    worker: str = ""

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this piece of work, whoever does it."""
        return f"{self.flow_uuid}/{self.atom_uuid}/{self.round}/{self.kind}"


_current: contextvars.ContextVar[Current | None] = contextvars.ContextVar(
    "redisflow_current", default=None
)


def current() -> Current | None:
    """Return what the calling code is a part of; None outside of a task."""
    return _current.get()


Job = Callable[[], Outcome]


class AtomRunner:
    """Runs tasks of one flow and tells listeners of it.

    Args:
        storage: where arguments come from and progress goes.
        atom_notifier: told of every state of every atom that runs here.
        worker: in whose name they run.
        run: the run id.
    """

    def __init__(
        self,
        storage: Storage,
        atom_notifier: notifier.Notifier,
        *,
        worker: str = "",
        run: str = "",
    ) -> None:
        self._storage = storage
        self._worker = worker
        self._run_id = run
        self._notifier = atom_notifier

    def prepare(self, item: Item, atom: Atom) -> Job:
        """Tell that an atom begins, find its arguments, and return what is to be run.

        Raises:
            NotFound: an argument is not there.
        """
        assert item.atom is not None  # noqa: S101  # only atoms are prepared
        state = states.REVERTING if item.reverts else states.RUNNING
        old_state = states.RETRYING if item.kind == "retry" else item.old_state
        # If no worker ever began it, it was put into this state by hand or by another
        # engine, which has told of it: as in TaskFlow it is not told once more.
        if state != old_state or item.round or isinstance(atom, retry.Retry):
            self._tell(item.atom.uuid, atom, state, old_state)
        if isinstance(atom, task.Task):
            atom.update_progress(0.0)
        with self._storage.pinned():
            arguments = self._storage.fetch_mapped_args(
                atom.revert_rebind if item.reverts else atom.rebind,
                atom_name=atom.name,
                optional_args=atom.revert_optional if item.reverts else atom.optional,
            )
            if isinstance(atom, retry.Retry):
                history = self._storage.get_retry_history(atom.name)
                arguments[retry.EXECUTE_REVERT_HISTORY] = history
            elif item.reverts:
                arguments[task.REVERT_RESULT] = self._storage.get(atom.name)
            if item.reverts:
                failures = self._storage.get_failures()
                arguments[task.REVERT_FLOW_FAILURES] = failures
        return functools.partial(self._run, item, atom, arguments)

    def lacking(self, item: Item, atom: Atom) -> exceptions.MissingDependencies | None:
        """Tell what an atom needs that only other workers have; None if nothing."""
        elsewhere = self._storage.transients_elsewhere()
        if not elsewhere:
            return None
        rebind = atom.revert_rebind if item.reverts else atom.rebind
        optional = atom.revert_optional if item.reverts else atom.optional
        with self._storage.pinned():
            arguments = self._storage.fetch_unsatisfied_args(
                atom.name, rebind, optional_args=optional
            )
        names = {rebind[argument] for argument in arguments}
        if not names or not names <= elsewhere:
            return None
        method = "revert" if item.reverts else "execute"
        return exceptions.MissingDependencies(atom, sorted(names), method=method)

    def tell_outcome(self, item: Item, atom: Atom, outcome: Outcome) -> None:
        """Tell that an atom has come to its end, after that has been recorded."""
        assert item.atom is not None  # noqa: S101  # only atoms are told of
        old_state = states.REVERTING if item.reverts else states.RUNNING
        self._tell(
            item.atom.uuid, atom, outcome.state, old_state, result=outcome.result
        )
        if outcome.progress is not None and isinstance(atom, task.Task):
            atom.update_progress(outcome.progress)

    def tell_retrying(self, item: Item, controller: Atom) -> None:
        """Tell that a controller tries its flow again."""
        assert item.atom is not None  # noqa: S101  # only atoms are told of
        if item.old_state != states.RETRYING:
            self._tell(item.atom.uuid, controller, states.RETRYING, item.old_state)

    def states_of(self, names: Iterable[str]) -> Mapping[str, str]:
        """Remember the states of atoms, for `tell_changes`."""
        self._storage.mirror.sync()
        atoms = self._storage.mirror.atoms
        return {name: str(atoms[name].detail.state) for name in names if name in atoms}

    def tell_changes(
        self, before: Mapping[str, str], state: str, atoms: Mapping[str, Atom]
    ) -> None:
        """Tell which atoms have come into a state, in the order of ``before``."""
        for name, old_state in before.items():
            if old_state == state:
                continue
            atom = atoms[name]
            self._tell(self._storage.mirror.atom(name).uuid, atom, state, old_state)
            if isinstance(atom, task.Task):
                atom.update_progress(0.0)

    def _run(self, item: Item, atom: Atom, arguments: Mapping[str, Any]) -> Outcome:
        assert item.atom is not None  # noqa: S101  # only atoms are run
        about = Current(
            self._storage.flow_uuid,
            item.atom.uuid,
            item.round,
            item.attempt,
            item.token,
            "revert" if item.reverts else "execute",
            self._run_id,
            atom.name,
            self._worker,
        )
        reset = _current.set(about)
        listen_no_more = None
        try:
            listen_no_more = self._listen_to_progress(atom)
            if item.reverts:
                return _revert(atom, arguments)
            return _execute(atom, arguments)
        finally:
            if listen_no_more is not None:
                listen_no_more()
            _current.reset(reset)

    def _listen_to_progress(self, atom: Atom) -> Callable[[], object] | None:
        """Have the progress of a task saved; returns what ends that."""
        event = task.EVENT_UPDATE_PROGRESS
        if isinstance(atom, retry.Retry) or not atom.notifier.can_be_registered(event):
            return None
        save = functools.partial(self._save_progress, atom)
        atom.notifier.register(event, save)
        return functools.partial(atom.notifier.deregister, event, save)

    def _save_progress(
        self, atom: task.Task, _event: str, details: dict[str, Any]
    ) -> None:
        if "progress" not in details:
            return
        progress = details.pop("progress")
        try:
            self._storage.set_task_progress(atom.name, progress, details=details)
        except Exception:
            # As in TaskFlow: telling of progress never fails the task.
            logger.exception("could not save the progress of task %r", atom.name)

    def _tell(
        self, uuid: str, atom: Atom, state: str, old_state: str, **more: Any
    ) -> None:
        if not len(self._notifier):
            return  # nobody listens
        kind = "retry" if isinstance(atom, retry.Retry) else "task"
        details = {
            f"{kind}_name": atom.name,
            f"{kind}_uuid": uuid,
            "old_state": old_state,
            **more,
        }
        self._notifier.notify(state, details)


def _execute(atom: Any, arguments: Mapping[str, Any]) -> Outcome:
    hooked = isinstance(atom, task.Task)  # TaskFlow calls no hooks of controllers
    try:
        if hooked:
            atom.pre_execute()
        result = atom.execute(**arguments)
    except Exception as error:  # noqa: BLE001  # whatever a task raises is its result
        return Outcome(states.FAILURE, failure_from(error), None)
    finally:
        if hooked:
            atom.post_execute()
    return Outcome(states.SUCCESS, result, 1.0)


def _revert(atom: Any, arguments: Mapping[str, Any]) -> Outcome:
    hooked = isinstance(atom, task.Task)
    try:
        if hooked:
            atom.pre_revert()
        result = atom.revert(**arguments)
    except Exception as error:  # noqa: BLE001  # whatever a task raises is its result
        return Outcome(states.REVERT_FAILURE, failure_from(error), None)
    finally:
        if hooked:
            atom.post_revert()
    return Outcome(states.REVERTED, result, 1.0)
