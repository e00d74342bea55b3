"""Who provides which name.

Nothing is ever taken back: an atom that is declared again with another index for
a name provides that name at both, and a scoped lookup uses the one that was new
last. That is how TaskFlow treats a flow that comes back with changed atoms.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from redisflow.arguments.scopes import Levels, Ranking, Scope, Scopes

#: Name of the detail that keeps a flow's persistently injected values.
INJECTOR: Final = "_TaskFlow_INJECTOR"

Index = int | str | None
"""Where in a result a name's value is: ``None`` is all of it."""

Value = Any
"""What an atom returned or a user injected: anything at all."""

# A container that is too short, that lacks the key, or that is no container.
_NOT_THERE = (IndexError, KeyError, TypeError, ValueError)


class Injected(enum.Enum):
    """Origins of values that no atom detail holds, and no atom name can equal."""

    TRANSIENT = "transient"


TRANSIENT: Final = Injected.TRANSIENT

Origin = str | Literal[Injected.TRANSIENT]
"""What provides a name: an atom by its name, `INJECTOR` or `TRANSIENT`."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One origin of a name's value, and where in its result the value is."""

    name: Origin
    index: Index

    def holds(self, result: Value) -> bool:
        """Tell whether ``result`` contains the provided value.

        >>> Provider("build", 1).holds(("image",))
        False
        """
        try:
            self.extract(result)
        except _NOT_THERE:
            return False
        return True

    def extract(self, result: Value) -> Value:
        """Take the provided value out of ``result``.

        Raises:
            IndexError, KeyError, TypeError, ValueError: it is not there.
        """
        return result if self.index is None else result[self.index]

    def __str__(self) -> str:
        name = repr(self.name) if isinstance(self.name, str) else self.name.value
        return name if self.index is None else f"{name} at {self.index!r}"


@dataclass(slots=True)
class Named:
    """The providers of one name.

    Attributes:
        all: every provider, in the order of declaration.
        injected: those whose values were injected into the flow.
        atoms: of each atom the provider that scoped lookups use.
    """

    all: dict[Provider, None] = field(default_factory=dict)
    injected: tuple[Provider, ...] = ()
    atoms: dict[str, Provider] = field(default_factory=dict)
    _ranked: tuple[Scopes, int, Ranking] | None = None

    def add(self, provider: Provider) -> None:
        """Append a provider, unless it is known."""
        if provider in self.all:
            return
        self.all[provider] = None
        if provider.name is TRANSIENT or provider.name == INJECTOR:
            self.injected += (provider,)
        else:
            self.atoms[provider.name] = provider

    def levels(self, scope: Levels) -> Iterator[Iterable[str]]:
        """Yield, nearest first, the scopes and which atoms of this name each has."""
        if scope is None:
            return iter(())
        if isinstance(scope, Scope):
            return scope.among(self._ranking(scope.scopes))
        return ((name for name in level if name in self.atoms) for level in scope)

    def _ranking(self, scopes: Scopes) -> Ranking:
        """Rank the atoms once for as long as none is added."""
        ranked = self._ranked
        if ranked is None or ranked[0] is not scopes or ranked[1] != len(self.atoms):
            ranked = scopes, len(self.atoms), scopes.rank(self.atoms)
            self._ranked = ranked
        return ranked[2]


class Providers:
    """All names of a flow and their providers, in the order of declaration.

    >>> providers = Providers()
    >>> providers.declare("build", {"image": 0, "digest": 1})
    >>> providers.of("digest")
    (Provider(name='build', index=1),)
    """

    def __init__(self) -> None:
        self._mappings: dict[Origin, dict[str, Index]] = {}
        self._named: dict[str, Named] = {}

    def declare(self, origin: Origin, mapping: Mapping[str, Index]) -> None:
        """Add the names that ``origin`` provides and the index of each.

        Declaring the same again changes nothing.
        """
        self._mappings.setdefault(origin, {}).update(mapping)
        for name, index in mapping.items():
            named = self._named.get(name)
            if named is None:
                named = self._named[name] = Named()
            named.add(Provider(origin, index))

    def of(self, name: str) -> tuple[Provider, ...]:
        """List the providers of a name; empty if it has none."""
        named = self._named.get(name)
        return tuple(named.all) if named else ()

    def named(self, name: str) -> Named | None:
        """Give the providers of a name by kind, or ``None`` if it has none."""
        return self._named.get(name)

    def names(self) -> Collection[str]:
        """Give all names, in the order in which each was first declared."""
        return self._named.keys()

    def mapping_of(self, origin: Origin) -> Mapping[str, Index]:
        """Give the names that ``origin`` provides, each with its latest index."""
        return self._mappings.get(origin, {})


def unsupplied(mapping: Mapping[str, Index], result: Value) -> dict[str, Index]:
    """Pick the names of ``mapping`` whose values ``result`` does not contain.

    >>> unsupplied({"image": 0, "digest": 1}, ["an image"])
    {'digest': 1}
    """
    return {
        name: index
        for name, index in mapping.items()
        if not Provider(INJECTOR, index).holds(result)
    }
