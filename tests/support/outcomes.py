"""What a run has left behind, in a form that can be compared between engines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from taskflow import exceptions
from taskflow.engines import helpers
from taskflow.types.failure import Failure

from tests.support.random_flows import Notes, Shape


@dataclass
class Outcome:
    """What came of a flow.

    Attributes:
        flow: its state.
        atoms: state and intention of each atom.
        results: what they returned, and what their reverts did; histories of retries.
        failures: what atoms failed with.
        found: all that can be fetched.
        error: kinds of what the engine raised.
        notes: what the atoms noted.
    """

    flow: str
    atoms: dict[str, tuple[str, str]]
    results: dict[str, object]
    failures: dict[str, str]
    found: dict[str, object]
    error: tuple[str, ...]
    notes: Notes

    def executed(self) -> set[str]:
        """Name what was run."""
        return {name for what, name in self.notes if what == "execute"}

    def reverted(self) -> set[str]:
        """Name what was reverted, or was tried to be."""
        return {name for what, name in self.notes if what == "revert"}


def outcome_of(
    storage: Any,
    names: Iterable[str],
    error: Exception | None,
    notes: Notes,
    *,
    controls: Iterable[str] = (),
) -> Outcome:
    """Look at all that a run has left.

    Args:
        storage: TaskFlow's or ours.
        names: of the tasks.
        error: what the engine raised.
        notes: what the atoms noted.
        controls: names of retry controllers.
    """
    names, controls = list(names), list(controls)
    results: dict[str, object] = {}
    failures: dict[str, str] = {}
    for name in [*names, *controls]:
        with contextlib.suppress(exceptions.NotFound):
            result = storage.get(name)
            if isinstance(result, Failure):
                failures[name] = str(result.exception_str)
            elif name not in controls:
                results[name] = result
    for name in names:  # TaskFlow's details lose what a retry's revert returns
        with contextlib.suppress(exceptions.NotFound):
            result = storage.get_revert_result(name)
            failed = isinstance(result, Failure)
            results[f"revert {name}"] = result.exception_str if failed else result
    for name in controls:
        history = storage.get_retry_history(name)
        results[name] = [(got, _texts(failed)) for got, failed in history]
    return Outcome(
        storage.get_flow_state(),
        storage.get_atoms_states([*names, *controls]),
        results,
        failures,
        _sorted(storage.fetch_all()),
        kinds_of(error),
        notes,
    )


def _texts(failures: Mapping[str, Failure]) -> dict[str, str]:
    return {name: str(failure.exception_str) for name, failure in failures.items()}


def _sorted(found: Mapping[str, Any]) -> dict[str, object]:
    """Sort the values of names that several tasks provide."""
    return {
        name: sorted(map(_plain, value), key=repr)
        if isinstance(value, list)
        else _plain(value)
        for name, value in found.items()
    }


def _plain(value: object) -> object:
    """Give a failure as text, which can be compared."""
    return str(value.exception_str) if isinstance(value, Failure) else value


def kinds_of(error: Exception | None) -> tuple[str, ...]:
    """Name what a run has raised; the parts of what is raised together."""
    if isinstance(error, exceptions.WrappedFailure):
        found = [next(iter(failure)) for failure in error]
        return tuple(sorted(name.rpartition(".")[2] for name in found))
    return () if error is None else (type(error).__name__,)


def error_of(run: Callable[[], object]) -> Exception | None:
    """Run; return what that has raised."""
    try:
        run()
    except Exception as error:  # noqa: BLE001 - it is compared
        return error
    return None


def by_taskflow(shape: Shape, **options: Any) -> Outcome:
    """Run a flow with TaskFlow's serial engine on its memory backend."""
    notes: Notes = []
    engine = helpers.load(shape.make(notes), **options)
    error = error_of(engine.run)
    return outcome_of(
        engine.storage, shape.plans, error, notes, controls=shape.controls
    )
