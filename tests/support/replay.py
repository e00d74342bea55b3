"""A journal, played again under the eyes of TaskFlow's own selector and completer.

A `Replay` compiles the flow with TaskFlow's compiler over a storage of TaskFlow's in
memory, and takes that through the journal, entry by entry. TaskFlow says of each start
whether it was allowed at that moment; its completer says what each failure leads to;
and each task is run once more to see that it was given what TaskFlow gives it.

Here a failure is recorded first and resolved by a later script; with TaskFlow that is
one step. So failures wait in line until the journal shows what came of the first, and
none may wait when something starts. What changes many atoms is written in several
entries, too: all that TaskFlow changes at once is due, and has to come before the next
start, though what was running may end in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from taskflow import retry, states, storage, task
from taskflow.engines.action_engine import compiler, executor, runtime
from taskflow.persistence import models
from taskflow.types import notifier
from taskflow.types.failure import Failure

from redisflow.codec import failure_from
from tests.support.outcomes import Outcome, error_of, outcome_of
from tests.support.random_flows import Shape
from tests.support.records import Entry

_ENDS = {
    states.SUCCESS: (states.RUNNING, executor.EXECUTED),
    states.FAILURE: (states.RUNNING, executor.EXECUTED),
    states.REVERTED: (states.REVERTING, executor.REVERTED),
    states.REVERT_FAILURE: (states.REVERTING, executor.REVERTED),
}

#: Stands for the result of an atom whose arguments are not there.
_NOTHING = object()


class NotAllowed(Exception):
    """TaskFlow would not have done what an entry of the journal says."""


@dataclass(frozen=True, slots=True)
class _Known:
    """State and intention of an atom; None where it is not the point."""

    state: str | None
    intention: str | None

    def fits(self, entry: Entry) -> bool:
        """Whether an entry brings an atom into this state with this intention."""
        return (self.state or entry.new, self.intention or entry.intention) == (
            entry.new,
            entry.intention,
        )


class Replay:
    """TaskFlow's view of one flow, moved on by a journal.

    Args:
        shape: the flow.
        options: ``defer_reverts`` and ``never_resolve``.

    Attributes:
        begun: atoms in the order in which they were begun: execute or revert, name.
        failed: whether anything failed.
    """

    def __init__(self, shape: Shape, options: Mapping[str, Any]) -> None:
        self._shape = shape
        compilation = compiler.PatternCompiler(shape.make([])).compile()
        self._storage = storage.Storage(
            models.FlowDetail("replay", "replay"),
            scope_fetcher=self._scopes_of,
        )
        self._runtime: Any = runtime.Runtime(
            compilation,
            self._storage,
            notifier.Notifier(),
            None,
            None,
            options,
        )
        self._runtime.compile()
        nodes = list(self._runtime.iterate_nodes(compiler.ATOMS))
        self._storage.ensure_atoms(nodes)
        self._atoms: dict[str, Any] = {node.name: node for node in nodes}
        self._folded = self._now()
        self._due: dict[str, _Known] = {}
        self._failed: deque[tuple[str, Failure]] = deque()
        self._results: dict[str, Any] = {}
        self._halted = False
        self._flow = states.PENDING
        self.begun: list[tuple[str, str]] = []
        self.failed = False

    def play(self, journal: Iterable[Entry]) -> None:
        """Go through a whole journal.

        Raises:
            NotAllowed: TaskFlow would have done something else.
        """
        for entry in journal:
            try:
                self._play(entry)
            except NotAllowed as error:
                raise NotAllowed(f"{entry}: {error}") from None
        self._end()

    def outcome(self) -> Outcome:
        """Return what TaskFlow's storage has now, as if its engine had raised it."""
        shape = self._shape
        error = None
        if self._flow != states.SUCCESS:
            # TaskFlow's engine also raises what an atom that has succeeded since had
            # failed with, since its memory keeps that.
            details = [self._storage._atomdetail_by_name(n)[0] for n in self._atoms]
            failed = [each.failure for each in details]
            failed += [each.revert_failure for each in details]
            error = error_of(lambda: Failure.reraise_if_any(filter(None, failed)))
        self._storage.set_flow_state(self._flow)
        return outcome_of(
            self._storage, shape.plans, error, self.begun, controls=shape.controls
        )

    @property
    def halted(self) -> bool:
        """Whether the run was stopped by what cannot be resolved."""
        return self._halted

    def _scopes_of(self, name: str) -> Any:
        return self._runtime.fetch_scopes_for(name)

    def _play(self, entry: Entry) -> None:
        if not entry.atom:
            self._flow = entry.new
        elif entry.atom not in self._folded:
            raise NotAllowed("there is no such atom")
        elif entry.old:  # else it was made
            known = self._folded[entry.atom]
            if entry.old != known.state:
                raise NotAllowed(f"it was {known}")
            if _Known(entry.new, entry.intention) == known:
                # It was claimed, given back, or asked for once more.
                self._halted |= self._results.get(entry.atom) is _NOTHING
            else:
                self._folded[entry.atom] = _Known(entry.new, entry.intention)
                self._changed(entry, known)

    def _changed(self, entry: Entry, known: _Known) -> None:
        due = self._due.get(entry.atom)
        if due is not None and due.fits(entry):
            del self._due[entry.atom]
        elif entry.new == entry.old:
            self._intended(entry)
        elif entry.new in _ENDS:
            self._ended(entry)
        elif entry.intention != known.intention and entry.new != states.IGNORE:
            raise NotAllowed(f"the intention changes with the state, from {known}")
        else:
            self._begun(entry, self._atoms[entry.atom])

    # What begins

    def _begun(self, entry: Entry, atom: Any) -> None:
        """See whether an atom may leave the state that it was in."""
        if entry.new == states.RUNNING and entry.old == states.RETRYING:
            # What it was allowed for was allowed when it became RETRYING.
            self._act(atom, states.RUNNING, "execute")
            return
        if entry.new == states.REVERTING and entry.old == states.RUNNING:
            self._may(atom, states.REVERT, ready=False)  # its worker has died
            self._act(atom, states.REVERTING, "revert")
            return
        begin = {
            states.RUNNING: self._run,
            states.REVERTING: self._revert,
            states.RETRYING: self._retry,
            states.IGNORE: self._ignore,
        }.get(entry.new)
        if begin is None:
            raise NotAllowed("nothing in TaskFlow leads there")
        begin(atom)

    def _run(self, atom: Any) -> None:
        decider = self._may(atom, states.EXECUTE)
        if nays := decider.tally(self._runtime):
            raise NotAllowed(f"deciders have said no: {nays}")
        self._act(atom, states.RUNNING, "execute")

    def _revert(self, atom: Any) -> None:
        self._may(atom, states.REVERT)
        self._act(atom, states.REVERTING, "revert")

    def _retry(self, atom: Any) -> None:
        self._may(atom, states.RETRY)
        self._runtime.retry_action.change_state(atom, states.RETRYING)

    def _ignore(self, atom: Any) -> None:
        decider = self._may(atom, states.EXECUTE)
        nays = decider.tally(self._runtime)
        if not nays:
            raise NotAllowed("no decider has said no")
        self._change(lambda: decider.affect(self._runtime, nays))
        self._due.pop(atom.name)

    def _may(self, atom: Any, intention: str, *, ready: bool = True) -> Any:
        """Ask the selector for an atom; returns the decider that comes with it."""
        self._settle()
        if self._halted:
            raise NotAllowed("the run was to end")
        found = self._storage.get_atom_intention(atom.name)
        if found != intention:
            raise NotAllowed(f"it is intended to {found}")
        allowed = dict(self._runtime.selector.iter_next_atoms())
        if ready and atom not in allowed:
            names = [other.name for other in allowed]
            raise NotAllowed(f"allowed are {names} with {self._now()}")
        return allowed.get(atom)

    def _act(self, atom: Any, state: str, what: str) -> None:
        """Begin with an atom, and find out what will come of it."""
        action = self._runtime.fetch_action(atom)
        action.change_state(atom, state)
        self.begun.append((what, atom.name))
        try:
            arguments = self._arguments(atom, what)
        except Exception:  # noqa: BLE001  # as the engine does
            self._results[atom.name] = _NOTHING
            return
        try:
            self._results[atom.name] = getattr(atom, what)(**arguments)
        except Exception as error:  # noqa: BLE001  # as the engine does
            self._results[atom.name] = failure_from(error)

    def _arguments(self, atom: Any, what: str) -> dict[str, Any]:
        reverts = what == "revert"
        arguments: dict[str, Any] = self._storage.fetch_mapped_args(
            atom.revert_rebind if reverts else atom.rebind,
            atom_name=atom.name,
            optional_args=atom.revert_optional if reverts else atom.optional,
        )
        if isinstance(atom, retry.Retry):
            history = self._storage.get_retry_history(atom.name)
            arguments[retry.EXECUTE_REVERT_HISTORY] = history
        elif reverts:
            arguments[task.REVERT_RESULT] = self._storage.get(atom.name)
        if reverts:
            arguments[task.REVERT_FLOW_FAILURES] = self._storage.get_failures()
        return arguments

    # What ends, and what follows from it

    def _ended(self, entry: Entry) -> None:
        atom, result = self._atoms[entry.atom], self._results.pop(entry.atom, None)
        from_state, outcome = _ENDS[entry.new]
        if result is _NOTHING:
            raise NotAllowed("its arguments are not there")
        failed = isinstance(result, Failure)
        expected = entry.new in (states.FAILURE, states.REVERT_FAILURE)
        if entry.old != from_state or failed != expected:
            raise NotAllowed(f"it comes to {result!r}")
        self._runtime.completer.complete(atom, outcome, result)
        if not failed:
            return
        self.failed = True
        if outcome == executor.EXECUTED and self._runtime.completer._resolve:
            self._failed.append((atom.name, result))
        else:
            self._halted = True

    def _intended(self, entry: Entry) -> None:
        """See what an intention that changes on its own belongs to."""
        atom = self._atoms[entry.atom]
        if entry.new == states.RETRYING and entry.intention == states.EXECUTE:
            self._no_other_change()
            self._change(lambda: self._runtime.retry_subflow(atom))
        elif entry.new == states.RETRYING and entry.intention == states.RETRY:
            # Whoever tried again has died, and a new run does it from the beginning.
            self._change(
                lambda: self._storage.set_atom_intention(atom.name, states.RETRY)
            )
        else:
            while not self._due and self._failed:
                self._resolve()
        due = self._due.pop(entry.atom, None)
        if due is None or not due.fits(entry):
            raise NotAllowed(f"TaskFlow makes it {due}, others {self._due}")

    def _resolve(self) -> None:
        """Let the completer resolve the first failure."""
        self._no_other_change()
        name, failure = self._failed.popleft()
        completer, atom = self._runtime.completer, self._atoms[name]
        try:
            self._change(
                lambda: completer.complete_failure(atom, executor.EXECUTED, failure)
            )
        except NotAllowed:
            raise
        except Exception:  # noqa: BLE001  # as the engine does
            self._halted = True

    def _change(self, change: Callable[[], object]) -> None:
        """Let TaskFlow change many atoms; what that changes is due from now on."""
        before = self._now()
        change()
        self._due = dict(_differences(before, self._now()))

    def _settle(self) -> None:
        """See that no failure waits to be resolved, and no change to be written."""
        self._no_other_change()
        while self._failed:
            self._resolve()
            if self._due:
                raise NotAllowed(f"a failure was not resolved yet: {self._due}")

    def _no_other_change(self) -> None:
        if self._due:
            raise NotAllowed(f"a change was not at its end: {self._due}")

    def _end(self) -> None:
        """See whether the flow was at its end, and in the right state."""
        self._settle()
        if _NOTHING in self._results.values() and not self._halted:
            raise NotAllowed("arguments were not there, and the run went on")
        if self._folded != self._now():
            raise NotAllowed(f"the journal has {self._folded}, not {self._now()}")
        if self._halted:
            expected = states.FAILURE
        elif left := [
            atom.name for atom, _ in self._runtime.selector.iter_next_atoms()
        ]:
            raise NotAllowed(f"it has ended, and {left} could have begun")
        elif self._runtime.is_success():
            expected = states.SUCCESS
        else:
            expected = states.REVERTED
        if self._flow != expected:
            raise NotAllowed(f"the flow is {self._flow}, not {expected}")

    def _now(self) -> dict[str, _Known]:
        found = self._storage.get_atoms_states(list(self._atoms))
        return {name: _Known(*pair) for name, pair in found.items()}


def _differences(
    before: Mapping[str, _Known], after: Mapping[str, _Known]
) -> Iterator[tuple[str, _Known]]:
    for name, new in after.items():
        old = before[name]
        if old != new:
            yield (
                name,
                _Known(
                    new.state if new.state != old.state else None,
                    new.intention if new.intention != old.intention else None,
                ),
            )
