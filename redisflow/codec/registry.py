"""Which enums and dataclasses may be stored, and under which names.

A stored name is looked up here and nowhere else: reading a value never imports
anything. A dataclass comes back with its fields set and without a call of
``__init__`` or ``__post_init__``, since nothing stored runs on being read.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias, TypeVar, overload

from redisflow.codec.refusal import Refusal, name_of
from redisflow.errors import ConfigError

C = TypeVar("C", bound=type)
#: An instance of a registered dataclass.
Instance: TypeAlias = Any


class Registry:
    """The classes whose instances may be stored; empty when made."""

    def __init__(self) -> None:
        self._names: dict[type, str] = {}
        self._classes: dict[str, type] = {}

    @overload
    def register(self, cls: C) -> C: ...

    @overload
    def register(self, *, name: str) -> Callable[[C], C]: ...

    @overload
    def register(self, cls: C, *, name: str | None) -> C: ...

    def register(self, cls: Any = None, *, name: str | None = None) -> Any:
        """Allow the members of an enum, or the instances of a dataclass, as values.

        >>> registry = Registry()
        >>> @registry.register(name="colour")
        ... class Colour(enum.Enum):
        ...     RED = 1
        >>> registry.name_of(Colour)
        'colour'

        Used as a function or as a decorator, in every process that stores or
        reads such values. Without ``name`` the class is known as
        ``module:qualname``; give one for a class of ``__main__``.

        Raises:
            ConfigError: neither an enum nor a dataclass that can be rebuilt
                from its fields; a class made inside a function; or a name that
                is another class's.
        """
        if cls is None:
            return lambda decorated: self.register(decorated, name=name)
        _check(cls)
        chosen = name or f"{cls.__module__}:{cls.__qualname__}"
        known = self._classes.get(chosen)
        # A module that was reloaded brings its class anew, under the same name.
        if known not in (None, cls) and name_of(known) != name_of(cls):
            raise ConfigError(
                f"{chosen!r} is registered already, for {name_of(known)}; "
                f"give {name_of(cls)} another name"
            )
        self._names[cls] = chosen
        self._classes[chosen] = cls
        return cls

    def name_of(self, cls: type) -> str | None:
        """Return the name of a class; None if it is not registered."""
        return self._names.get(cls)

    def class_of(self, name: object) -> type:
        """Return the class of a stored name.

        Raises:
            ValueError: not registered in this process.
        """
        found = self._classes.get(name) if isinstance(name, str) else None
        if found is None:
            raise ValueError(f"the class {name!r:.100} is not registered here")
        return found


def _check(cls: object) -> None:
    if not isinstance(cls, type):
        raise ConfigError(f"only a class can be registered, not {cls!r:.100}")
    if "<locals>" in cls.__qualname__:
        raise ConfigError(f"{name_of(cls)} is made inside a function: not importable")
    if issubclass(cls, enum.Enum):
        return
    if "__dataclass_fields__" not in vars(cls):
        raise ConfigError(f"{name_of(cls)} is neither an enum nor a dataclass")
    try:
        object.__new__(cls)
    except TypeError as error:
        raise ConfigError(
            f"{name_of(cls)} cannot be rebuilt from its fields: {error}"
        ) from error


def dump_member(name: str, member: enum.Enum) -> list[object]:
    """Return the name of an enum and of its member; of a flag, maybe its bits."""
    cls = type(member)
    own_name, bits = vars(member).get("_name_"), vars(member).get("_value_")
    if own_name and cls.__members__.get(own_name) is member:
        return [name, own_name]
    if isinstance(member, enum.Flag) and type(bits) is int:
        return [name, bits]
    raise Refusal(f"is no member of {name_of(cls)}", member)


def load_member(cls: type, member: object) -> enum.Enum:
    """Return the member of a registered enum."""
    if not issubclass(cls, enum.Enum):
        raise TypeError(f"{name_of(cls)} is no enum")
    if isinstance(member, str) and member in cls.__members__:
        return cls.__members__[member]
    if type(member) is int and issubclass(cls, enum.Flag):
        made = cls(member)
        # Of bits that they do not know some flags make a plain int, and before Python
        # 3.11.4 others leave them out.
        if type(made) is cls and made.value == member:
            return made
    raise ValueError(f"{name_of(cls)} has no member {member!r:.100}")


def fields_of(value: Instance) -> dict[str, object]:
    """Return the fields of a registered dataclass's instance.

    Raises:
        Refusal: it has other attributes too, or lacks a field.
    """
    cls = type(value)
    names = [field.name for field in dataclasses.fields(cls)]
    for extra in getattr(value, "__dict__", {}).keys() - set(names):
        # What can be computed again need not be stored.
        if not isinstance(getattr(cls, extra, None), cached_property):
            raise Refusal(f"has an attribute {extra!r} that is no field", value)
    try:
        return {name: getattr(value, name) for name in names}
    except AttributeError as error:
        raise Refusal(f"lacks a field: {error}", value) from error


def build(cls: type, stored: dict[str, object]) -> object:
    """Make an instance of a registered dataclass; absent fields get their defaults."""
    if not dataclasses.is_dataclass(cls):
        raise ValueError(f"{name_of(cls)} is no dataclass")
    made = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in stored:
            value = stored.pop(field.name)
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            raise ValueError(f"{name_of(cls)} needs a field {field.name!r}")
        object.__setattr__(made, field.name, value)
    if stored:
        raise ValueError(f"{name_of(cls)} has no field {min(stored)!r:.100}")
    return made
