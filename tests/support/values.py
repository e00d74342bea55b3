"""Values of every type that the codec stores, and what tells two of them apart."""

from __future__ import annotations

import datetime as dt
import enum
import zlib
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from hypothesis import strategies as st

from redisflow.codec import Codec, Registry


class Colour(enum.Enum):
    """An enum that is registered."""

    RED = 1
    CRIMSON = RED
    BLUE = "b"


class Level(enum.IntEnum):
    """An enum of integers that is registered."""

    LOW = 1


class Access(enum.Flag):
    """A flag that is registered."""

    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Point:
    """A dataclass that is registered, and remembers what it computed."""

    x: Any
    y: Any = 0

    @cached_property
    def total(self) -> Any:
        """Return the sum."""
        return self.x + self.y


@dataclass(slots=True)
class Box:
    """A dataclass with slots that is registered."""

    content: Any = field(default_factory=list)
    init_ran: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Leave a trace."""
        self.init_ran = True


class Compress:
    """A hook that compresses."""

    def encode(self, data: bytes) -> bytes:
        """Compress."""
        return zlib.compress(data)

    def decode(self, data: bytes) -> bytes:
        """Decompress."""
        return zlib.decompress(data)


REGISTRY = Registry()
for _cls in (Colour, Level, Access, Point, Box):
    REGISTRY.register(_cls, name=_cls.__name__)
CODEC = Codec(registry=REGISTRY)


def canonical(value: Any) -> Any:
    """Return what two values share only if they are equal and of the same types."""
    kind = type(value)
    if kind in (list, tuple):
        parts: Any = [canonical(part) for part in value]
    elif kind in (set, frozenset):
        parts = sorted((canonical(part) for part in value), key=repr)
    elif kind is dict:
        parts = [(canonical(k), canonical(v)) for k, v in value.items()]
    elif kind is Point:
        parts = [canonical(value.x), canonical(value.y)]
    elif kind is Box:
        parts = [canonical(value.content), value.init_ran]
    else:
        parts = repr(value)  # tells -0.0, nan, folds, zones, exponents
    return kind, parts


texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["$", "$tuple", "$dict", "\\", "\\ud800", "\ud83d", "\ud83d\ude00", "😀"]
)
zones = (
    st.none()
    | st.timezones()
    | st.builds(
        dt.timezone, st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))
    )
    | st.just(dt.timezone(dt.timedelta(hours=1), "CET"))
)
hashable_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | texts
    | st.binary()
    | st.complex_numbers()
    | st.decimals().filter(lambda number: not number.is_snan())
    | st.uuids()
    | st.dates()
    | st.datetimes(timezones=zones)
    | st.times(timezones=zones)
    | st.timedeltas()
    | st.sampled_from(
        [*Colour, *Level, Access.READ, ~Access.READ, Access(0), Access(3)]
    )
)
hashables = st.recursive(
    hashable_leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=5,
)
values = st.recursive(
    hashables | st.binary().map(bytearray) | st.just(Decimal("sNaN12")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.sets(hashables, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(hashables, inner, max_size=4)
        | st.builds(Point, inner, inner)
        | st.builds(Box, inner)
    ),
    max_leaves=20,
)
