"""What the flow's own code is asked between two atoms: deciders, retry controllers.

A decider says whether an atom runs; a controller says what is done about a failure in
its flow. Each is asked by the worker that holds the work item, under no lock; a script
applies the answer once, and refuses it if the item is no longer this worker's. Where a
failure waits to be resolved, or the flow is to stop, a decider's answer is dropped: the
item goes back, and it is asked again. What they raise ends the run, as in TaskFlow.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskflow import retry, states
from taskflow.deciders import Depth, pick_widest
from taskflow.types.failure import Failure

from redisflow.engine.atoms import AtomRunner
from redisflow.engine.compiling import Atom
from redisflow.engine.items import Handout, Item
from redisflow.engine.structure import LinkDecider, Structure
from redisflow.engine.worker import Worker
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


class Decisions:
    """Asks what is to come, for the items of one loop, and has the answers applied.

    Args:
        storage: the flow.
        structure: what its atoms are, and who answers for whom.
        worker: holds the items, and sends the answers.
        runner: tells listeners of atoms whose states an answer has changed.
        carry_on: carries on a change of many records to its end.
        let_go: called with an item that is held no longer.
    """

    def __init__(
        self,
        storage: Storage,
        structure: Structure,
        worker: Worker,
        runner: AtomRunner,
        *,
        carry_on: Callable[[], object],
        let_go: Callable[[Item], object],
    ) -> None:
        self._storage = storage
        self._structure = structure
        self._worker = worker
        self._runner = runner
        self._carry_on = carry_on
        self._let_go = let_go

    def resolve(self, item: Item) -> None:
        """Ask what is to be done about a failure, and have it done."""
        resolver = Resolver(
            self._storage, self._structure, functools.partial(self._blame, item)
        )
        controller, strategy = "", REVERT_ALL
        failure = self._storage.get_execute_failures().get(item.name)
        if failure is not None:  # else somebody has given it a result meanwhile
            resolution = resolver.resolve(self._structure.atoms[item.name], failure)
            strategy = resolution.strategy
            if resolution.controller is not None:
                name = resolution.controller.name
                controller = self._storage.mirror.atom(name).uuid
        while self._worker.resolve(item, strategy, controller) == "PLANNED":
            self._carry_on()
        self._let_go(item)

    def decide(self, item: Item) -> Handout | None:
        """Ask the deciders before an atom, and have it begun or left out.

        Returns:
            What was handed out with the answer; None where it is to be asked for.
        """
        atom = self._structure.atoms[item.name]
        depth = ask_deciders(self._storage, self._structure.deciders[atom.name])
        if depth is None:
            handout = self._decided(item, "")
            return None if handout.stale or not handout.items else handout
        left_out = [atom.name, *self._structure.reached_from(atom, depth)]
        before = self._runner.states_of(left_out)
        if not self._decided(item, depth.name).planned:
            return None  # it is not left out, or not by this worker
        self._carry_on()
        # What is to be reverted by now is not left out any more.
        now = self._runner.states_of(left_out)
        before = {
            name: state
            for name, state in before.items()
            if now.get(name) == states.IGNORE
        }
        self._runner.tell_changes(before, states.IGNORE, self._structure.atoms)
        return None

    def try_again(self, item: Item) -> Item | None:
        """Have all after a retry controller start anew.

        Returns:
            The item in the round that begins now; None if it is another worker's.
        """
        controller = self._structure.atoms[item.name]
        self._runner.tell_retrying(item, controller)
        again = self._structure.reached_from(controller, Depth.ALL)
        before = self._runner.states_of(again)
        while (reply := self._worker.retry(item)).status == "PLANNED":
            self._carry_on()
        if reply.status == "STALE":
            self._let_go(item)
            return None
        self._runner.tell_changes(before, states.PENDING, self._structure.atoms)
        return item._replace(round=reply.fields[2])

    def _blame(
        self, item: Item, controller: retry.Retry, failed: str, failure: Failure
    ) -> None:
        record = self._storage.mirror.atom(controller.name)
        self._worker.blame(item, record, failed, failure)

    def _decided(self, item: Item, depth: str) -> Handout:
        """Have applied what deciders have said, once no other change is in progress."""
        while (handout := self._worker.decide(item, depth)).retake:
            self._carry_on()
        self._let_go(item)
        return handout
