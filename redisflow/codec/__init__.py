"""Values, and the bytes that Redis keeps of them.

A value travels as JSON. What JSON has is stored as it is, so that a person at
``redis-cli`` reads it; what JSON lacks stands behind a tag, and comes back equal
and of the same type::

    5            5                        (1, 2)       {"$tuple":[1,2]}
    "x"          "x"                      {3, 1}       {"$set":[1,3]}
    None         null                     {1: "a"}     {"$map":[[1,"a"]]}
    [1, 2.5]     [1,2.5]                  b"ab"        {"$bytes":"YWI="}
    {"a": 1}     {"a":1}                  {"$a": 1}    {"$dict":{"$a":1}}

Also: bytearray, frozenset, datetime, date, time, timedelta, UUID, Decimal,
complex, nan and the infinities, integers of any size, text with lone surrogates,
TaskFlow's Failure; enum members and dataclasses of classes that are registered.
An object is a tag if its one key begins with ``$``; the tables of tags are in
``scalars`` and ``values``.

Guarantees:

* Anything else is refused with ``ValueRefused``, which names the path inside the
  value, before anything moves. Subclasses of plain types are anything else. So
  are values that are too large, too deep, or contain themselves.
* A Failure given to ``encode_failure`` is never refused (see ``failures``).
* Any bytes give a value or ``CorruptKey``. Decoding imports and runs nothing of
  what they name: classes are looked up in the registry, time zones in the host's
  files, and of a registered class only its hash and defaults are asked.

Not guaranteed: identity. A list that occurs twice in a value comes back as two.
Two nan are never equal; they come back as nan.

A hook sees the JSON after encoding and before decoding, to compress or encrypt.
Nothing here talks to Redis. This package is the only one that imports orjson.
"""

from __future__ import annotations

from typing import Protocol

import orjson
from taskflow.types.failure import Failure

from redisflow.codec.failures import failure_from
from redisflow.codec.masking import Mask
from redisflow.codec.plain import ATOMS, Value, room_left
from redisflow.codec.refusal import Refusal
from redisflow.codec.registry import Registry
from redisflow.codec.values import MAX_DEPTH, Loader, Writer, too_large
from redisflow.errors import ConfigError, CorruptKey

__all__ = [
    "Codec",
    "Hook",
    "Mask",
    "Registry",
    "dumps_plain",
    "failure_from",
    "loads_plain",
    "register",
]

_DEFAULT = Registry()
register = _DEFAULT.register

_ALONE = ATOMS | {str}
#: Types that orjson writes otherwise than we do are handed back instead. Tuples,
#: enums, UUIDs and floats that are not finite cannot be: ``room_left`` finds them.
_OPTIONS = (
    orjson.OPT_PASSTHROUGH_SUBCLASS
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
)


class Hook(Protocol):
    """What happens to the bytes of every value on their way: compress, encrypt."""

    def encode(self, data: bytes) -> bytes:
        """Return what is stored for the JSON ``data``."""
        ...

    def decode(self, data: bytes) -> bytes:
        """Return the JSON for what was stored; raise anything if it is damaged."""
        ...


class Codec:
    """Turns values into bytes and back.

    >>> codec = Codec()
    >>> codec.encode({"hosts": ("a", "b")})
    b'{"hosts":{"$tuple":["a","b"]}}'
    >>> codec.decode(_, key="doctest")
    {'hosts': ('a', 'b')}

    Args:
        max_bytes: of JSON, before the hook; more is refused.
        max_depth: of containers in containers, up to 250; more is refused.
        hook: sees all bytes, those of failures too.
        registry: of classes; without it, the one that ``register`` fills.
    """

    def __init__(
        self,
        *,
        max_bytes: int = 16 * 2**20,
        max_depth: int = 200,
        hook: Hook | None = None,
        registry: Registry | None = None,
    ) -> None:
        if not 1 <= max_depth <= MAX_DEPTH:
            raise ConfigError(f"max_depth is 1 to {MAX_DEPTH}, not {max_depth!r}")
        if max_bytes < 1:
            raise ConfigError(f"max_bytes is at least 1, not {max_bytes!r}")
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._hook = hook
        self._registry = _DEFAULT if registry is None else registry
        self._loader = Loader(self._registry)

    def encode(self, value: object, *, name: str = "") -> bytes:
        """Return the bytes to store for a value; an error will tell its ``name``.

        Raises:
            ValueRefused: it would not come back equal and of the same type, or is
                too large or too deep.
        """
        try:
            data = self._json(value)
            if len(data) > self._max_bytes:
                raise too_large(value, self._max_bytes)
        except Refusal as refusal:
            if refusal.too_large:  # where the room ended is of no interest
                refusal = too_large(value, self._max_bytes)
            raise refusal.error(name) from None
        except RecursionError:
            reason = "is nested deeper than this stack allows"
            raise Refusal(reason, value).error(name) from None
        return data if self._hook is None else self._hook.encode(data)

    def _json(self, value: object) -> bytes:
        if (
            type(value) in _ALONE
            or room_left(value, self._max_bytes, self._max_depth) >= 0
        ):
            try:
                return orjson.dumps(value, option=_OPTIONS)
            except TypeError:
                pass  # an integer or a text that needs a tag
        return self._writer().write(value)

    def _writer(self) -> Writer:
        return Writer(self._registry, self._max_bytes, self._max_depth)

    def decode(self, data: bytes, *, key: str) -> Value:
        """Return the value that was stored as ``data``, which came from ``key``.

        Raises:
            CorruptKey: not what ``encode`` makes, or of a class that is not
                registered in this process.
        """
        try:
            if self._hook is not None:
                data = self._hook.decode(data)
            stored = orjson.loads(data)
            # Without a tag in sight there is nothing left to do.
            return self._loader.load(stored) if b'"$' in data else stored
        except Exception as error:  # damage can provoke any of them
            raise _corrupt(error, key) from error

    def encode_failure(self, failure: Failure) -> bytes:
        """Return the bytes to store for a failure; never refuses one.

        Texts are cut, with a mark, where the record would be larger than
        ``max_bytes`` (4 KiB if that is more).
        """
        data = self._writer().write_failure(failure)
        return data if self._hook is None else self._hook.encode(data)

    def decode_failure(self, data: bytes, *, key: str) -> Failure:
        """Return the failure that was stored as ``data``, which came from ``key``.

        Raises:
            CorruptKey: not what ``encode_failure`` makes.
        """
        try:
            if self._hook is not None:
                data = self._hook.decode(data)
            return self._loader.load_failure(orjson.loads(data))
        except Exception as error:  # damage can provoke any of them
            raise _corrupt(error, key) from error


def _corrupt(error: Exception, key: str) -> CorruptKey:
    reason = f"{type(error).__name__}: {error}"
    return CorruptKey(f"{key}: not a value that can be read: {reason:.300}", key=key)


def dumps_plain(obj: object, *, indent: bool = False) -> bytes:
    """Write plain JSON of our own: output of the CLI, small internal structures.

    Raises:
        TypeError: JSON lacks a part of it. (Tuples are written as lists.)
    """
    return orjson.dumps(obj, option=orjson.OPT_INDENT_2 if indent else None)


def loads_plain(data: bytes | str) -> Value:
    """Read plain JSON of our own.

    Raises:
        ValueError: not JSON.
    """
    return orjson.loads(data)
