"""What the flow's own code is asked between two atoms: deciders, retry controllers.

A decider says whether an atom runs; a controller says what is done about a failure in
its flow. Each is asked by the worker that holds the work item, under no lock; a script
applies the answer once, and refuses it if the item is no longer this worker's. Where a
failure waits to be resolved, or the flow is to stop, a decider's answer is dropped: the
item goes back, and it is asked again. What they raise ends the run, as in TaskFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskflow import retry, states
from taskflow.deciders import Depth, pick_widest
from taskflow.types.failure import Failure

from redisflow.engine.compiling import Atom
from redisflow.engine.structure import LinkDecider, Structure
from redisflow.storage import Storage

#: What is done about a failure that no controller answers for.
REVERT_ALL: str = retry.REVERT_ALL.value


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is done about a failure.

    Attributes:
        strategy: RETRY, REVERT or REVERT_ALL.
        controller: whose flow is retried or reverted; None for REVERT_ALL.
    """

    strategy: str = REVERT_ALL
    controller: retry.Retry | None = None


def ask_deciders(storage: Storage, links: Sequence[LinkDecider]) -> Depth | None:
    """Ask the deciders before an atom.

    Returns:
        None if it may run, else how far the nay reaches: the widest of all.
    """
    history = _history(storage, links)
    nays = [
        link.depth
        for link in links
        if (not link.of_atom or link.source in history)
        and not link.ask(history=history)
    ]
    if not nays:
        return None
    widest: Depth = pick_widest(nays)
    return widest


def _history(storage: Storage, links: Sequence[LinkDecider]) -> Mapping[str, Any]:
    """Give the results of the atoms that links come from, without those ignored."""
    sources = [link.source for link in links if link.of_atom]
    found = storage.get_atoms_states(sources)
    return {
        name: storage.get(name)
        for name, (state, _intention) in found.items()
        if state != states.IGNORE
    }


class Resolver:
    """Finds out what is done about failures.

    Args:
        storage: where controllers get their arguments and their history from.
        structure: says who answers for whom.
        blame: called with a controller, the name of what failed and its failure;
            notes the failure in the controller's history before it is asked.
    """

    def __init__(self, storage: Storage, structure: Structure, blame: Any) -> None:
        self._storage = storage
        self._structure = structure
        self._blame = blame

    def resolve(self, atom: Atom, failure: Failure) -> Resolution:
        """Ask the controllers around an atom, from the inside out.

        Raises:
            ValueError: a controller gave no answer that TaskFlow knows.
        """
        controller = self._structure.controller_of(atom)
        if controller is None:
            return Resolution()
        self._blame(controller, atom.name, failure)
        answer = controller.on_failure(**self._arguments(controller))
        if answer == retry.RETRY:
            return Resolution(answer.value, controller)
        if answer == retry.REVERT_ALL:
            return Resolution()
        if answer != retry.REVERT:
            raise ValueError(
                f"Unknown atom failure resolution action/strategy '{answer}'"
            )
        around = self.resolve(controller, failure)
        # Without anybody around it, a flow is reverted alone; with defer_reverts the
        # one around it decides in any case, and if there is none, all is reverted.
        if self._structure.defer_reverts or self._is_an_answer(controller, around):
            return around
        return Resolution(answer.value, controller)

    def _is_an_answer(self, controller: retry.Retry, around: Resolution) -> bool:
        """Tell whether the controller around another has more to say than REVERT."""
        asked = self._structure.controller_of(controller) is not None
        return asked and around.strategy != retry.REVERT.value

    def _arguments(self, controller: retry.Retry) -> dict[str, Any]:
        storage = self._storage
        arguments = storage.fetch_mapped_args(
            controller.rebind,
            atom_name=controller.name,
            optional_args=controller.optional,
        )
        history = storage.get_retry_history(controller.name)
        arguments[retry.EXECUTE_REVERT_HISTORY] = history
        return arguments
