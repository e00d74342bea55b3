"""What a worker may import: nothing but what its operator has named.

A module's name allows that module and its submodules; the path of a file allows that
file. Nothing is allowed otherwise. A reference is looked at before anything is
imported for it. When there is a callable, that must have been made in an allowed place,
too: ``shop.flows:os.system`` is refused, and so is a name that a module has imported
from elsewhere. Any callable that an allowed module defines can be called, with any
arguments: allow modules of flows, and nothing wider.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from redisflow.engine.factories import Factory, module_name_of, split_reference
from redisflow.errors import ConfigError


class NotAllowed(ConfigError):
    """A factory that the operator of this worker has not allowed.

    Attributes:
        reference: names the factory.
    """

    def __init__(self, reference: str) -> None:
        super().__init__(f"its factory {reference!r} is not allowed here")
        self.reference = reference


class Allowed:
    """Modules and files whose flows may be served.

    >>> allowed = Allowed(["shop.flows"])
    >>> allowed.has("shop.flows.orders:make"), allowed.has("shop.flowsandmore:make")
    (True, False)

    Args:
        entries: names of modules, and paths that end in ``.py``; at least one.

    Raises:
        ConfigError: there is none, or one is neither.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self.entries = tuple(dict.fromkeys(entries))
        if not self.entries:
            raise ConfigError("nothing is allowed: name a module or a file of flows")
        paths = [entry for entry in self.entries if entry.endswith(".py")]
        self._modules = [entry for entry in self.entries if entry not in paths]
        self._files = {Path(path).resolve() for path in paths}
        self._file_modules = {module_name_of(path) for path in self._files}
        for name in self._modules:
            if not _is_module_name(name):
                raise ConfigError(
                    f"{name!r} cannot be allowed: it is neither the name of a module"
                    " nor the path of a .py file"
                )
        for path in self._files:
            if not path.is_file():
                raise ConfigError(f"{str(path)!r} cannot be allowed: it is no file")

    def has(self, reference: str) -> bool:
        """Tell whether the module or file of a reference is allowed."""
        place, name = split_reference(reference)
        if not _is_module_name(name):
            return False
        if place.endswith(".py"):
            return Path(place).is_absolute() and Path(place).resolve() in self._files
        return self._has_module(place)

    def check(self, reference: str) -> None:
        """Look at a reference, before anything is imported.

        Raises:
            NotAllowed: its module or file is not allowed.
        """
        if not self.has(reference):
            raise NotAllowed(reference)

    def check_factory(self, reference: str, factory: Factory) -> None:
        """Look at what a reference has led to, before it is called.

        Raises:
            NotAllowed: it was not made in an allowed place.
        """
        made_in: Any = getattr(factory, "__module__", None)
        if not isinstance(made_in, str) or not (
            made_in in self._file_modules or self._has_module(made_in)
        ):
            raise NotAllowed(f"{reference} (of {made_in})")

    def _has_module(self, name: str) -> bool:
        return _is_module_name(name) and any(
            name == module or name.startswith(f"{module}.") for module in self._modules
        )


def _is_module_name(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))
