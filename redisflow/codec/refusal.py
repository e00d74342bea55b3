"""Why a value is refused, and where inside it.

A :class:`Refusal` starts at the part that cannot be stored and climbs out of
the value; each container that it passes adds its step, so a value that is
accepted never pays for paths. The codec turns it into ``ValueRefused``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from redisflow.errors import ValueRefused

T = TypeVar("T")

_SHOWN = 200


class Refusal(Exception):
    """A part of a value that cannot be stored, on its way out.

    Attributes:
        reason: what is wrong, as the end of a sentence.
        type_name: the type of the part.
        too_large: it was refused for its size alone.
    """

    def __init__(self, reason: str, part: object, *, too_large: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.type_name = name_of(type(part))
        self.too_large = too_large
        self._steps: list[str] = []

    def climb(self, step: str) -> None:
        """Add the step that led to the part: ``[3]``, ``['hosts']``, ``.field``."""
        self._steps.append(step)

    def error(self, name: str) -> ValueRefused:
        """Make the error that the caller sees; ``name`` is whose value it is, or ""."""
        path = "$" + "".join(reversed(self._steps))
        message = f"{cut(path, _SHOWN)}: {self.reason}"
        if name:
            message = f"{cut(repr(name), _SHOWN)}: {message}"
        return ValueRefused(message, path=path, type_name=self.type_name, name=name)


def name_of(cls: type) -> str:
    """Name a class as its errors do: ``dict``, ``collections.OrderedDict``."""
    if cls.__module__ == "builtins":
        return cls.__qualname__
    return f"{cls.__module__}.{cls.__qualname__}"


def attempt(make: Callable[[], T], otherwise: Callable[[], T]) -> T:
    """Call code that is not ours; whatever it raises, go the other way."""
    try:
        return make()
    except Exception:  # noqa: BLE001 - a repr or str() of users can raise anything
        return otherwise()


def describe(value: object) -> str:
    """Return the repr of anything; a placeholder where repr itself raises."""
    return attempt(
        lambda: "".join((repr(value),)),  # exactly a str
        lambda: f"<{name_of(type(value))} object whose repr() failed>",
    )


def cut(text: str, limit: int) -> str:
    """Shorten a text to about ``limit`` characters, with a mark in its middle."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return (
        f"{text[:half]} [... {len(text) - 2 * half} characters cut ...] {text[-half:]}"
    )
