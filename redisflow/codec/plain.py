"""The short way: values that are plain JSON as they stand.

Most values are. :func:`room_left` looks for whatever orjson would write without a
word although it comes back as something else (tuples, enums, UUIDs, nan) and
leaves the rest to it: subclasses, keys that are not text, integers and texts
that need a tag all make orjson raise ``TypeError``.

Containers are met once each: one inside itself ends the walk, and one that is
shared is counted, not walked again, so that a small value that would be huge as
JSON is given up early.
"""

from __future__ import annotations

from math import isfinite
from typing import Any, TypeAlias

#: Whatever a user stores, or orjson reads and writes.
Value: TypeAlias = Any

ATOMS = frozenset({type(None), bool, int})

#: Id of a container -> itself (so that the id stays its own), the levels that were
#: allowed there, and the room that its inner containers took.
_Met: TypeAlias = "dict[int, tuple[Value, int, int]]"
_OPEN = (None, 0, 0)


def room_left(value: Value, room: int, levels: int, met: _Met | None = None) -> int:
    """Return what is left of ``room`` bytes, at most; negative if that is too little.

    Also negative if the value is not plain, or nested deeper than ``levels``.
    """
    parts = value
    if type(value) is dict:
        room -= _size_of_keys(value, room)
        parts = value.values()
    elif type(value) is not list:
        return -1
    room -= len(value)
    inner = []
    for part in parts:
        kind = type(part)
        if kind is str:
            room -= len(part)
        elif kind not in ATOMS and not (kind is float and isfinite(part)):
            inner.append(part)
    if room < 0 or levels < 1:
        return -1
    return _room_left_inside(value, inner, room, levels, met) if inner else room


def _size_of_keys(value: dict[Value, object], room: int) -> int:
    try:
        size = len("".join(value))
    except TypeError:  # a key that is not text
        return room + 1
    looks_like_a_tag = len(value) == 1 and next(iter(value))[:1] == "$"
    return room + 1 if looks_like_a_tag else size


def _room_left_inside(
    value: Value, inner: list[Value], room: int, levels: int, met: _Met | None
) -> int:
    outermost = met is None
    met = {} if met is None else met
    known = met.get(id(value))
    if known is _OPEN:
        return -1
    if known is not None and known[1] <= levels:
        return room - known[2]
    if not outermost:  # which is not worth it: a value inside itself comes again
        met[id(value)] = _OPEN
    left = room
    for part in inner:
        left = room_left(part, left, levels - 1, met)
        if left < 0:
            return -1
    if not outermost:
        met[id(value)] = (value, levels, room - left)
    return left
