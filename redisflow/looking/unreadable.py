"""Values that this process cannot read, shown as such.

Who lacks the codec of a flow, or its key, is still to see how the flow goes: names,
states and times are never encoded. Commands that only look have a backend that says
"not readable" in place of a value, where others raise `CorruptKey`; those that run a
flow have one while they look at what came of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from taskflow.types.failure import Failure

from redisflow.codec import Codec
from redisflow.errors import CorruptKey
from redisflow.persistence import RedisBackend


class _Unreadable(str):
    """What is shown in place of a value, and of every part of it."""

    __slots__ = ()

    def __getitem__(self, _index: object) -> _Unreadable:
        return self

    def __repr__(self) -> str:
        return str(self)


UNREADABLE = _Unreadable("(not readable here)")

#: The state of a run of which the keys cannot be read.
DAMAGED = "(unreadable)"


def backend_to_look(url: str | None) -> RedisBackend:
    """Make a backend that nothing is written with."""
    backend = RedisBackend.from_url(url)
    backend.codec = _Looking(backend.codec)
    return backend


@contextlib.contextmanager
def looking(backend: RedisBackend) -> Iterator[None]:
    """Have a backend only look, inside ``with``: nothing is written meanwhile."""
    codec = backend.codec
    backend.codec = _Looking(codec)
    try:
        yield
    finally:
        backend.codec = codec


class _Looking(Codec):
    """Decodes with another codec what that can decode."""

    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self._codec = codec

    def decode(self, data: bytes, *, key: str) -> Any:
        """Return a value, or what is shown in its place."""
        try:
            return self._codec.decode(data, key=key)
        except CorruptKey:
            return UNREADABLE

    def decode_failure(self, data: bytes, *, key: str) -> Failure:
        """Return a failure, or one that says that it cannot be read."""
        try:
            return self._codec.decode_failure(data, key=key)
        except CorruptKey:
            return Failure(
                exception_str=str(UNREADABLE),
                exc_type_names=["Failure"],
                traceback_str="",
            )
