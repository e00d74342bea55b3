"""Finding values: the search that joins providers, scopes and results.

Arguments of an atom are searched by scope (`Lookup.arguments`), names for a user
without any scope (`Lookup.fetch`). `Lookup.unsatisfied` tells before a run which
arguments will have no provider at all; it reads no result of an atom.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from taskflow import exceptions, states

from redisflow.arguments.providers import (
    INJECTOR,
    TRANSIENT,
    Named,
    Provider,
    Providers,
    Value,
)
from redisflow.arguments.scopes import Levels
from redisflow.errors import NotFound

Values = Mapping[str, Value]
ManyHandler = Callable[[list[Value]], Value]


@dataclass(frozen=True, slots=True)
class Lookup:
    """Search in one flow.

    Attributes:
        providers: who provides what.
        transients: values injected into the flow in this process only.
        result_of: gives an atom's result; also asked for `INJECTOR`.
        check: raises what ``result_of`` would, without fetching the result.

    Where a method takes ``scope``, it is the `Scope` of the atom or any iterable of
    levels of names, nearest first, iterated once for each argument. ``injected``
    are the values injected into the atom: transient ones, then persistent ones.
    ``settled`` says that every visible atom has ended or was ignored.
    """

    providers: Providers
    transients: Values
    result_of: Callable[[str], Value]
    check: Callable[[str], object]

    def arguments(
        self,
        mapping: Mapping[str, str],
        *,
        injected: Iterable[Values | None] = (),
        scope: Levels = None,
        optional: Collection[str] = (),
        settled: bool = False,
    ) -> dict[str, Value]:
        """Give the value of each argument of ``mapping`` (argument to name).

        Raises:
            NotFound: an argument has no value and may not be left out.
        """
        sources = [source for source in injected if source]
        values: dict[str, Value] = {}
        for argument, name in mapping.items():
            source = _first_with(name, sources)
            if source is not None:
                values[argument] = source[name]
            elif self.providers.named(name) or argument not in optional:
                values[argument] = self.find(name, scope, settled=settled)[1]
        return values

    def unsatisfied(
        self,
        mapping: Mapping[str, str],
        *,
        injected: Iterable[Values | None] = (),
        scope: Levels = None,
        optional: Collection[str] = (),
    ) -> set[str]:
        """Pick the arguments that nothing will ever provide, optional ones apart."""
        sources = [source for source in injected if source]
        return {
            argument
            for argument, name in mapping.items()
            if argument not in optional
            and _first_with(name, sources) is None
            and not self._may_come(name, scope)
        }

    def wanted(
        self,
        mapping: Mapping[str, str],
        *,
        injected: Iterable[Values | None] = (),
        scope: Levels = None,
        settled: bool = False,
        every: bool = False,
    ) -> list[str]:
        """Name the atoms whose results `arguments` reads, each once.

        These are the providers that are asked first. Only where one's result lacks
        the index does `arguments` read another of its scope, too; ``every``
        includes those. An argument that cannot be found adds nothing.
        """
        sources = [source for source in injected if source]
        names: dict[str, None] = {}
        for name in mapping.values():
            named = self.providers.named(name)
            if named is None or _first_with(name, sources) is not None:
                continue
            try:
                asked = self._asked(name, named, scope, settled=settled, every=every)
            except exceptions.NotFound:
                continue
            names.update((p.name, None) for p in asked if p.name is not TRANSIENT)
        return list(names)

    def _asked(
        self, name: str, named: Named, scope: Levels, *, settled: bool, every: bool
    ) -> Sequence[Provider]:
        """List the providers that are asked for a name, or the first one of a scope."""
        if named.injected:
            return named.injected
        nearest = self._nearest(name, named, scope, settled=settled)
        return list(nearest if every else islice(nearest, 1))

    def find(
        self, name: str, scope: Levels = None, *, settled: bool = False
    ) -> tuple[Provider, Value]:
        """Give the value of a name as an atom sees it, and its provider.

        Raises:
            NotFound: no provider is visible, or none has the value.
            DisallowedAccess: the flow's injected values cannot be read.
        """
        named = self.providers.named(name)
        if named is None:
            raise _not_mapped(name)
        if named.injected:
            # All are read, as an injected value that is missing is an error.
            values = [self._value(provider, name) for provider in named.injected]
            return named.injected[0], values[0]
        tried: list[str] = []
        for provider in self._nearest(name, named, scope, settled=settled):
            result = self._result(provider, name)
            if provider.holds(result):
                return provider, provider.extract(result)
            tried.append(str(provider))
        if tried:
            raise _not_in(name, ", ".join(tried))
        raise NotFound(
            f"none of the {len(named.atoms)} providers of {name!r} is visible "
            "and has a result"
        )

    def fetch(self, name: str, many_handler: ManyHandler | None = None) -> Value:
        """Give the value of a name wherever it comes from.

        Injected values come first, then those of atoms as declared; of several the
        first is taken, or ``many_handler`` makes one out of all.

        Raises:
            NotFound: there is none, or a provider has no result, or not the index.
        """
        named = self.providers.named(name)
        if named is None:
            raise _not_mapped(name)
        # An atom declared with two indexes counts twice, with the later one.
        atoms = [
            named.atoms[provider.name]
            for provider in named.all
            if isinstance(provider.name, str) and provider.name in named.atoms
        ]
        values = [self._value(provider, name) for provider in named.injected]
        usable = [provider for provider in atoms if self._usable(provider, name)]
        values += [self._value(provider, name) for provider in usable]
        if not values:
            raise NotFound(
                f"Unable to find result {name!r}: all {len(atoms)} of its providers "
                "were ignored"
            )
        return values[0] if many_handler is None else many_handler(values)

    def fetch_all(self, many_handler: ManyHandler | None = None) -> dict[str, Value]:
        """Give the value of every name that has one; of several, all in a list."""
        handler = many_handler or _one_or_all
        found: dict[str, Value] = {}
        for name in self.providers.names():
            try:
                found[name] = self.fetch(name, handler)
            except exceptions.NotFound:
                continue
        return found

    def _nearest(
        self, name: str, named: Named, scope: Levels, *, settled: bool
    ) -> Iterator[Provider]:
        """Give what may be read in the nearest scope that was not all ignored."""
        for level in named.levels(scope):
            visible = (named.atoms[atom_name] for atom_name in level)
            usable = (found for found in visible if self._usable(found, name))
            checked = usable if settled else iter(list(usable))
            for first in checked:
                return chain((first,), checked)
        return iter(())

    def _usable(self, provider: Provider, name: str) -> bool:
        """Tell whether an atom has a result (or was ignored, and has none)."""
        try:
            self.check(str(provider.name))
        except exceptions.DisallowedAccess as error:
            if error.state == states.IGNORE:
                return False
            raise _not_readable(provider, name, error) from error
        return True

    def _result(self, provider: Provider, name: str) -> Value:
        """Read the result of an atom that has been checked."""
        try:
            return self.result_of(str(provider.name))
        except exceptions.DisallowedAccess as error:
            # It was there when checked: another process has just reset the atom.
            raise _not_readable(provider, name, error) from error

    def _value(self, provider: Provider, name: str) -> Value:
        """Read a provider that must have the value."""
        if provider.name is TRANSIENT:
            result: Value = self.transients
        elif provider.name == INJECTOR:
            result = self.result_of(provider.name)
        else:
            result = self._result(provider, name)
        if not provider.holds(result):
            raise _not_in(name, str(provider))
        return provider.extract(result)

    def _may_come(self, name: str, scope: Levels) -> bool:
        """Tell whether any injected value or any visible atom provides a name."""
        named = self.providers.named(name)
        if named is None:
            return False
        for provider in named.injected:
            try:
                self._value(provider, name)
            except (exceptions.NotFound, exceptions.DisallowedAccess):
                continue
            return True
        return any(True for level in named.levels(scope) for _ in level)


def _first_with(name: str, sources: Iterable[Values]) -> Values | None:
    """Pick the first source that has a name."""
    return next((source for source in sources if name in source), None)


def _one_or_all(values: list[Value]) -> Value:
    """Give a single value bare and several as they are."""
    return values if len(values) > 1 else values[0]


def _not_mapped(name: str) -> NotFound:
    """Say that nothing provides a name."""
    return NotFound(f"Name {name!r} is not mapped as a produced output by any provider")


def _not_in(name: str, providers: str) -> NotFound:
    """Say that results lack the index that they were promised to have."""
    message = f"Unable to find result {name!r}: it is not in the result of {providers}"
    return NotFound(message)


def _not_readable(provider: Provider, name: str, error: Exception) -> NotFound:
    """Say that a provider in scope has no result."""
    return NotFound(f"{name!r} comes from {provider}, which has no result", cause=error)
