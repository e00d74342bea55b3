"""Values with parts, there and back.

=======================  ===================================================
``{"$tuple": […]}``      also ``$set`` and ``$frozenset``, in a stable order
``{"$map": [[k, v],…]}`` a dict with a key that is not text, or not UTF-8
``{"$dict": {"$x": …}}`` a dict that would look like a tag: one key with ``$``
``{"$enum": [class, member]}``, ``{"$dataclass": [class, {field: value}]}``
``{"$failure": {…}}``    a TaskFlow Failure
=======================  ===================================================

:class:`Writer` builds the tagged tree of what :func:`.plain.room_left` gave up,
and knows the path of what it refuses. Each container is written once: one inside
itself is refused, and one that is shared is counted, not written again, so a
small value that would be huge as JSON is refused without being written.
"""

from __future__ import annotations

import dataclasses
import enum
import operator
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import orjson
from taskflow.types.failure import Failure

from redisflow.codec import registry as classes
from redisflow.codec import scalars
from redisflow.codec.failures import dump_failure, load_failure
from redisflow.codec.plain import ATOMS, Value
from redisflow.codec.refusal import Refusal, cut, describe, name_of

#: The deepest that a value may be. orjson reads 1,024 levels of JSON, and the
#: parts of one level of a value are at most three levels of JSON further down.
MAX_DEPTH = 250
#: orjson writes 254 levels, so deeper trees are written in slices of this many.
_SLICE = 60

_LEAVES = ATOMS | {str, float} | scalars.DUMPERS.keys()
_TEXT = frozenset({str})
_SORTABLE = frozenset({int, float, str, bytes})
_PLAIN_BASES = (str, int, float, bytes, bytearray, dict, list, tuple, set, frozenset)


class _Known(NamedTuple):
    """A container that was written: itself, so that its id stays its own."""

    value: object
    level: int
    size: int
    tree: object


_OPEN = _Known(None, 0, 0, None)

#: The tag, if any, of a container, and what makes the tree behind it.
_Way: TypeAlias = "tuple[str, Callable[[Writer, Any, int], object]]"


class Writer:
    """Builds the JSON of one value; used once."""

    def __init__(
        self, registry: classes.Registry, max_bytes: int, max_depth: int
    ) -> None:
        self._registry = registry
        self._max_bytes = max_bytes
        self._max_depth = max_depth
        self._room = max_bytes
        self._met: dict[int, _Known] = {}

    def write(self, value: object, level: int = 1) -> bytes:
        """Return the JSON of a value.

        Raises:
            Refusal: it cannot be stored.
        """
        return orjson.dumps(self._tree(value, level))

    def write_failure(self, failure: Failure, level: int = 1) -> bytes:
        """Return the JSON of a failure, whatever it holds."""

        def dump(value: object, below: int) -> bytes:
            room, self._room = self._room, self._max_bytes
            try:
                return self.write(value, level + below)
            finally:
                self._room = room

        return dump_failure(failure, dump, self._max_bytes)

    def _tree(self, value: Value, level: int) -> object:
        kind = type(value)
        if kind in _LEAVES:
            return self._leaf(value, kind)
        known = self._met.get(id(value))
        if known is _OPEN:
            raise Refusal("contains itself", value)
        if known is not None and level <= known.level:
            self._spend(known.size, value)
            return self._again(known)
        if level > self._max_depth:
            raise Refusal(f"is nested deeper than {self._max_depth} levels", value)
        before = self._room
        self._room -= 1
        tag, write = self._way(value, kind)
        self._met[id(value)] = _OPEN
        try:
            tree = write(self, value, level)
            self._spend(0, value)
        except BaseException:
            del self._met[id(value)]  # a failure goes on without it
            raise
        if tag:
            tree = {tag: tree}
        if level % _SLICE == 0:
            tree = orjson.Fragment(orjson.dumps(tree))
        self._met[id(value)] = _Known(value, level, before - self._room, tree)
        return tree

    def _again(self, known: _Known) -> object:
        """Return what stands for a container that is met again, at any level."""
        tree = known.tree
        if type(tree) is not orjson.Fragment:
            tree = orjson.Fragment(orjson.dumps(tree))
            self._met[id(known.value)] = known._replace(tree=tree)
        return tree

    def _spend(self, size: int, value: object) -> None:
        self._room -= size
        if self._room < 0:
            raise too_large(value, self._max_bytes)

    def _leaf(self, value: Value, kind: type) -> object:
        if kind in ATOMS:
            self._room -= 1
            if kind is not int or -(2**63) <= value < 2**64:
                return value
            self._spend(value.bit_length() // 4, value)
            return scalars.dump_big_int(value)
        if kind is str:
            self._spend(len(value), value)
            return scalars.dump_text(value)
        if kind is float:
            self._room -= 1
            return scalars.dump_float(value)
        tag, dump = scalars.DUMPERS[kind]
        payload = dump(value)
        self._spend(len(payload), value)
        return {tag: payload}

    def _way(self, value: Value, kind: type) -> _Way:
        if kind is dict:
            texts = set(map(type, value)) <= _TEXT
            if not texts or not scalars.is_utf8("".join(value)):
                return "$map", Writer.write_map
            alone = len(value) == 1 and next(iter(value))[:1] == "$"
            return "$dict" if alone else "", Writer.write_fields
        if kind in self._WAYS:
            return self._WAYS[kind]
        if self._registry.name_of(kind) is None:
            raise Refusal(_why_refused(value, kind), value)
        if issubclass(kind, enum.Enum):
            return "$enum", Writer.write_member
        return "$dataclass", Writer.write_dataclass

    def write_list(self, value: Iterable[object], level: int) -> list[object]:
        """Return the trees of a list or tuple."""
        trees: list[object] = []
        try:
            for part in value:
                trees.append(self._tree(part, level + 1))  # noqa: PERF401 - its length
        except Refusal as refusal:
            refusal.climb(f"[{len(trees)}]")  # is the place where it stopped
            raise
        return trees

    def write_set(
        self, value: set[Value] | frozenset[Value], level: int
    ) -> list[object]:
        """Return the trees of a set: sorted by value, or else by their JSON."""
        kinds = set(map(type, value))
        alike = len(kinds) == 1 and kinds <= _SORTABLE
        pairs = []
        for part in sorted(value) if alike else value:
            try:
                tree = self._tree(part, level + 1)
            except Refusal as refusal:
                refusal.climb(f"{{{_short(part)}}}")
                raise
            pairs.append((b"" if alike else orjson.dumps(tree), tree))
        pairs.sort(key=operator.itemgetter(0))
        return [tree for _, tree in pairs]

    def write_map(self, value: dict[Value, object], level: int) -> list[object]:
        """Return the pairs of a dict with any keys."""
        pairs: list[object] = []
        for key, part in value.items():
            step = ".key({})"
            try:
                stored = self._tree(key, level + 1)
                step = "[{}]"
                pairs.append([stored, self._tree(part, level + 1)])
            except Refusal as refusal:
                refusal.climb(step.format(_short(key)))
                raise
        return pairs

    def write_fields(self, value: dict[str, object], level: int) -> dict[str, object]:
        """Return the trees of a dict whose keys JSON can have."""
        trees: dict[str, object] = {}
        for key, part in value.items():
            self._spend(len(key), value)
            try:
                trees[key] = self._tree(part, level + 1)
            except Refusal as refusal:
                refusal.climb(f"[{_short(key)}]")
                raise
        return trees

    def write_member(self, value: enum.Enum, level: int) -> list[object]:
        """Return the names of a registered enum and its member."""
        name = self._registry.name_of(type(value)) or ""
        self._spend(len(name), value)
        return classes.dump_member(name, value)

    def write_dataclass(self, value: object, level: int) -> list[object]:
        """Return the name of a registered dataclass, and the trees of its fields."""
        trees = {}
        for field, part in classes.fields_of(value).items():
            self._spend(len(field), value)
            try:
                trees[field] = self._tree(part, level + 1)
            except Refusal as refusal:
                refusal.climb(f".{field}")
                raise
        return [self._registry.name_of(type(value)), trees]

    def write_record(self, value: Failure, level: int) -> object:
        """Return the record of a failure."""
        data = self.write_failure(value, level)
        self._spend(len(data), value)
        return orjson.Fragment(data)

    _WAYS: ClassVar[dict[type, _Way]] = {
        Failure: ("$failure", write_record),
        frozenset: ("$frozenset", write_set),
        list: ("", write_list),
        set: ("$set", write_set),
        tuple: ("$tuple", write_list),
    }


def too_large(value: object, max_bytes: int) -> Refusal:
    """Make the refusal of a value that is more than ``max_bytes`` of JSON."""
    return Refusal(f"larger than {max_bytes} bytes as JSON", value, too_large=True)


def _short(key: object) -> str:
    return cut(describe(key), 60)


def _why_refused(value: object, kind: type) -> str:
    name = name_of(kind)
    if issubclass(kind, enum.Enum) or dataclasses.is_dataclass(value):
        return f"a {name} can be stored once redisflow.codec.register knows its class"
    for base in _PLAIN_BASES:
        if issubclass(kind, base):
            plain = base.__name__
            return f"a {name} would come back as another type; pass {plain}(value)"
    return f"a {name} cannot be stored: it would not come back equal"


class Loader:
    """Turns what orjson read into values; raises for what it does not understand."""

    def __init__(self, registry: classes.Registry) -> None:
        self._registry = registry

    def load(self, stored: Value, level: int = 1) -> Value:
        """Return the value of a tree, reusing its lists and dicts.

        Raises:
            ValueError: or what else a damaged tree provokes; all Exceptions.
        """
        if level > MAX_DEPTH + 1:  # the leaves of the deepest container
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        if type(stored) is list:
            return self.load_list(stored, level)
        if type(stored) is not dict:
            return stored
        if len(stored) == 1:
            ((tag, payload),) = stored.items()
            if tag in scalars.LOADERS:
                return scalars.LOADERS[tag](payload)
            if tag[:1] == "$":
                return self._of_tag(tag)(self, payload, level)
        return self.load_fields(stored, level)

    def _of_tag(self, tag: str) -> Callable[[Loader, Any, int], Value]:
        if tag not in self._TAGS:
            raise ValueError(f"an unknown tag, {tag:.100}")
        return self._TAGS[tag]

    def load_list(self, payload: list[Value], level: int) -> list[Value]:
        """Return a list."""
        for number, part in enumerate(payload):
            if type(part) is dict or type(part) is list:
                payload[number] = self.load(part, level + 1)
        return payload

    def load_fields(self, payload: Value, level: int) -> dict[str, Value]:
        """Return a dict that JSON has as such."""
        for field, part in _dict(payload).items():
            if type(part) is dict or type(part) is list:
                payload[field] = self.load(part, level + 1)
        return _dict(payload)

    def load_tuple(self, payload: Value, level: int) -> tuple[Value, ...]:
        """Return a tuple."""
        return tuple(self.load_list(_list(payload), level))

    def load_set(self, payload: Value, level: int) -> set[Value]:
        """Return a set."""
        parts = self.load_list(_list(payload), level)
        made = set(parts)
        if len(made) != len(parts):
            raise ValueError("a set with equal members")
        return made

    def load_frozenset(self, payload: Value, level: int) -> frozenset[Value]:
        """Return a frozenset."""
        return frozenset(self.load_set(payload, level))

    def load_map(self, payload: Value, level: int) -> dict[Value, Value]:
        """Return a dict with any keys."""
        made = {}
        for pair in _list(payload):
            key, part = _list(pair)
            made[self.load(key, level + 1)] = self.load(part, level + 1)
        if len(made) != len(payload):
            raise ValueError("a map with equal keys")
        return made

    def load_member(self, payload: Value, level: int) -> enum.Enum:
        """Return a member of a registered enum."""
        name, member = _list(payload)
        return classes.load_member(self._registry.class_of(name), member)

    def load_dataclass(self, payload: Value, level: int) -> Value:
        """Return an instance of a registered dataclass."""
        name, fields = _list(payload)
        cls = self._registry.class_of(name)
        return classes.build(cls, self.load_fields(fields, level))

    def load_failure(self, record: Value, level: int = 1) -> Failure:
        """Return the failure of a record."""
        return load_failure(
            record, lambda stored, below: self.load(stored, level + below)
        )

    _TAGS: ClassVar[dict[str, Callable[[Loader, Any, int], Value]]] = {
        "$dataclass": load_dataclass,
        "$dict": load_fields,
        "$enum": load_member,
        "$failure": load_failure,
        "$frozenset": load_frozenset,
        "$map": load_map,
        "$set": load_set,
        "$tuple": load_tuple,
    }


def _list(payload: Value) -> list[Value]:
    if type(payload) is not list:
        raise TypeError("a list is needed behind the tag")
    return payload


def _dict(payload: Value) -> dict[str, Value]:
    if type(payload) is not dict:
        raise TypeError("an object is needed behind the tag")
    return payload
