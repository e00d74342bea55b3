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
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from taskflow import flow, task

from redisflow.errors import ConfigError

DEFAULT_NAME = "factory"

_loading = threading.RLock()

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

    def make_flow(self, admit: Callable[[Factory], object] | None = None) -> FlowOrTask:
        """Import the factory and call it.

        Args:
            admit: looks at the factory, and may raise, before it is called.

        Raises:
            ConfigError: it cannot be found, does not take these arguments, or does
                not return a flow. What the factory itself raises goes through.
        """
        factory = find_factory(self.reference)
        if admit is not None:
            admit(factory)
        self.check_arguments(factory)
        made: object = factory(*self.args, **self.kwargs)
        if not isinstance(made, (flow.Flow, task.Task)):
            kind = type(made).__name__
            raise ConfigError(f"factory {self.reference} returned a {kind}, not a flow")
        return made

    def check_arguments(self, factory: Factory) -> None:
        """Look whether a factory takes these arguments, without calling it.

        Raises:
            ConfigError: it does not.
        """
        try:
            inspect.signature(factory).bind(*self.args, **self.kwargs)
        except TypeError as error:
            raise ConfigError(f"factory {self.reference}: {error}") from None
        except ValueError:
            pass  # a callable without a signature: the call will tell


def find_factory(reference: str) -> Factory:
    """Import what a reference names.

    Raises:
        ConfigError: there is no such module, file or callable.
    """
    place, name = split_reference(reference)
    module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
    factory: Any = module
    for part in name.split("."):
        if isinstance(factory, ModuleType) and factory is not module:
            break  # what another module has is named by that one
        factory = getattr(factory, part, None)
    if factory is None:
        raise ConfigError(f"{place} has no {name!r}")
    if not callable(factory):
        raise ConfigError(f"{name!r} of {place} cannot be called")
    return factory  # type: ignore[no-any-return]  # checked when it is called


def split_reference(reference: str) -> tuple[str, str]:
    """Tell the module or file of a reference from the name in it.

    >>> split_reference("shop.flows"), split_reference("/srv/flows.py:order")
    (('shop.flows', 'factory'), ('/srv/flows.py', 'order'))
    """
    place, colon, name = reference.rpartition(":")
    if not colon or name.endswith(".py") or "/" in name:
        return reference, DEFAULT_NAME
    return place, name or DEFAULT_NAME


def _absolute(reference: str) -> str:
    """Make the path in a reference absolute: workers run elsewhere."""
    place, name = split_reference(reference)
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


def module_name_of(path: Path) -> str:
    """Name the module that a file becomes, wherever it was loaded from."""
    path = path.resolve()
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return f"_redisflow_{path.stem}_{digest}"


def _load_file(path: Path) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    with _loading:  # nobody gets a module that is half loaded
        return _load_once(path, module_name_of(path))


def _load_once(path: Path, name: str) -> ModuleType:
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
