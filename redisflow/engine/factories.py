"""Flow factories: naming, importing and calling the function that makes a flow.

A reference is a callable at a module's top level, or text: ``package.module:name``,
``path/to/file.py:name``, or either without the name, which then is ``factory``. Every
worker of a run makes the flow for itself, from the same reference and arguments.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from taskflow import flow, task

from redisflow.errors import ConfigError

DEFAULT_NAME = "factory"

FlowOrTask = flow.Flow | task.Task
Factory = Callable[..., FlowOrTask]


@dataclass(frozen=True, slots=True)
class FactoryCall:
    """A factory and what it is called with.

    Attributes:
        reference: ``module:name`` or ``/path/file.py:name``.
        args: positional arguments.
        kwargs: keyword arguments.
    """

    reference: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        factory: str | Factory,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> FactoryCall:
        """Name a factory so that other processes find it.

        Raises:
            ConfigError: it is not at the top level of a module.
        """
        reference = factory if isinstance(factory, str) else _reference_of(factory)
        return cls(_absolute(reference), tuple(args), dict(kwargs or {}))

    def make_flow(self) -> FlowOrTask:
        """Import the factory and call it.

        Raises:
            ConfigError: it cannot be found, does not take these arguments, or does
                not return a flow. What the factory itself raises goes through.
        """
        factory = find_factory(self.reference)
        try:
            inspect.signature(factory).bind(*self.args, **self.kwargs)
        except TypeError as error:
            raise ConfigError(f"factory {self.reference}: {error}") from None
        except ValueError:
            pass  # a callable without a signature: the call will tell
        made: object = factory(*self.args, **self.kwargs)
        if not isinstance(made, (flow.Flow, task.Task)):
            kind = type(made).__name__
            raise ConfigError(f"factory {self.reference} returned a {kind}, not a flow")
        return made


def find_factory(reference: str) -> Factory:
    """Import what a reference names.

    Raises:
        ConfigError: there is no such module, file or callable.
    """
    place, name = _split(reference)
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    factory: Any = module
    for part in name.split("."):
        factory = getattr(factory, part, None)
    if factory is None:
        raise ConfigError(f"{place} has no {name!r}")
    if not callable(factory):
        raise ConfigError(f"{name!r} of {place} cannot be called")
    return factory  # type: ignore[no-any-return]  # checked when it is called


def _split(reference: str) -> tuple[str, str]:
    place, colon, name = reference.rpartition(":")
    if not colon or name.endswith(".py") or "/" in name:
        return reference, DEFAULT_NAME
    return place, name or DEFAULT_NAME


def _absolute(reference: str) -> str:
    """Make the path in a reference absolute: workers run elsewhere."""
    place, name = _split(reference)
    if place.endswith(".py"):
        return f"{Path(place).resolve()}:{name}"
    return f"{place}:{name}"


def _reference_of(factory: Factory) -> str:
    module_name = getattr(factory, "__module__", None)
    name = getattr(factory, "__qualname__", "")
    module = sys.modules.get(module_name or "")
    if module is None or "<" in name:
        raise ConfigError(
            f"{factory!r} cannot be found by other processes: a factory stands at the"
            " top level of a module"
        )
    place: str = module.__name__
    if place == "__main__":
        if not getattr(module, "__file__", None):
            raise ConfigError(f"{name!r} was typed in: put it into a file")
        place = str(module.__file__)
    return f"{place}:{name}"


def _load_module(name: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")  # as python -m has it: modules of the current folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise ConfigError(f"there is no module {name!r}") from None
        raise
    except ValueError:
        raise ConfigError(f"{name!r} names no module") from None


def _load_file(path: Path) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    name = f"_redisflow_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
