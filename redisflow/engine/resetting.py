"""Putting a flow back to its beginning while nobody runs it."""

from __future__ import annotations

from collections.abc import Callable

from taskflow import states, task
from taskflow.types import notifier

from redisflow.engine.atoms import AtomRunner
from redisflow.engine.items import Move
from redisflow.engine.structure import Structure
from redisflow.errors import InvalidState
from redisflow.storage import Storage


def reset_flow(
    storage: Storage,
    structure: Structure,
    atom_notifier: notifier.Notifier,
    notify: Callable[[Move], object],
) -> None:
    """Set all atoms to PENDING, to be executed, and the flow to PENDING.

    It happens under the flow's write lock, so that no run begins in the middle of it.

    Raises:
        InvalidState: workers run the flow, or its state does not allow it; nothing was
            changed.
    """
    with storage.lock.write_lock():
        old = storage.get_flow_state()
        if storage.mirror.live:
            raise InvalidState(f"flow {storage.flow_name!r} is being run: no reset now")
        states.check_flow_transition(old, states.PENDING)
        runner = AtomRunner(storage, atom_notifier)
        before = runner.states_of(structure.atoms)
        for name, atom in structure.atoms.items():
            storage.set_atom_state(name, states.PENDING)
            storage.set_atom_intention(name, states.EXECUTE)
            if isinstance(atom, task.Task) and storage.get_task_progress(name):
                storage.set_task_progress(name, 0.0)
        moved, _old = storage.change_flow_state(states.PENDING)
    runner.tell_changes(before, states.PENDING, structure.atoms)
    if moved:
        notify(Move(old, states.PENDING))
