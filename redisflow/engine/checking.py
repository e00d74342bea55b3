"""Finding out, before a run, which arguments of which atoms nothing will provide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from taskflow import exceptions

from redisflow.arguments import TRANSIENT, Lookup, Providers
from redisflow.engine.factories import FlowOrTask
from redisflow.engine.structure import Structure


def check_arguments(
    item: FlowOrTask,
    structure: Structure,
    values: Mapping[str, Any],
    injected: Mapping[str, Mapping[str, Any]],
) -> None:
    """Check that every argument of every atom has a provider.

    Args:
        item: what is to be run, for the error.
        structure: of it.
        values: what was injected into the flow.
        injected: what was injected into single atoms, by atom.

    Raises:
        MissingDependencies: at least one has none; nested, one for each method.
    """
    providers = Providers()
    providers.declare(TRANSIENT, {name: name for name in values})
    for atom in structure.atoms.values():
        providers.declare(atom.name, atom.save_as)
    lookup = Lookup(providers, values, result_of=_not_needed, check=_not_needed)
    missing: set[str] = set()
    cause: exceptions.MissingDependencies | None = None
    for atom in structure.atoms.values():
        names: set[str] = set()
        searched = None
        for method, mapping, optional in (
            ("execute", atom.rebind, atom.optional),
            ("revert", atom.revert_rebind, atom.revert_optional),
        ):
            if (mapping, optional) != searched:  # both often need the same
                searched = mapping, optional
                names = lookup.unsatisfied(
                    mapping,
                    injected=[atom.inject, injected.get(atom.name)],
                    scope=structure.scopes(atom.name),
                    optional=optional,
                )
            if names:
                missing |= names
                cause = exceptions.MissingDependencies(
                    atom, sorted(names), cause=cause, method=method
                )
    if missing:
        raise exceptions.MissingDependencies(item, sorted(missing), cause=cause)


def _not_needed(atom_name: str) -> NoReturn:
    raise exceptions.NotFound(f"results of {atom_name!r} are not there before a run")
