"""Values come back equal and of the same type, or are refused by their path."""

from __future__ import annotations

import datetime as dt
import enum
import subprocess
import sys
import zlib
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings

from redisflow.codec import Codec, Registry, dumps_plain, loads_plain, register
from redisflow.errors import ConfigError, CorruptKey, ValueRefused
from tests.support.values import (
    CODEC,
    REGISTRY,
    Access,
    Box,
    Colour,
    Compress,
    Point,
    canonical,
    values,
)


class Unknown(enum.StrEnum):
    """An enum that nobody registered."""

    A = "a"


@dataclass
class Stranger:
    """A dataclass that nobody registered."""

    x: int = 1


class Text(str):
    """A subclass of a plain type."""

    __slots__ = ()


Pair = namedtuple("Pair", "a b")


class Zone(dt.tzinfo):
    """A time zone of somebody's own."""

    def utcoffset(self, _: dt.datetime | None) -> dt.timedelta:
        """Return no offset."""
        return dt.timedelta(0)


def there_and_back(value: Any, codec: Codec = CODEC) -> Any:
    """Encode and decode a value."""
    return codec.decode(codec.encode(value), key="a key")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(values)
def test_values_come_back_equal_and_of_the_same_type(value: Any) -> None:
    """Whatever can be stored comes back as it was, at every depth."""
    assert canonical(there_and_back(value)) == canonical(value)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, "null"),
        (True, "true"),
        (5, "5"),
        (2**64 - 1, "18446744073709551615"),
        (-0.0, "-0.0"),
        ("x", '"x"'),
        ("é", '"é"'),
        ([1, 2.5, {"a": []}], '[1,2.5,{"a":[]}]'),
        ((1, (2,)), '{"$tuple":[1,{"$tuple":[2]}]}'),
        ({10, 9}, '{"$set":[9,10]}'),
        (frozenset({"b", None}), '{"$frozenset":["b",null]}'),
        ({1: "a"}, '{"$map":[[1,"a"]]}'),
        ({"a": 1, 2: "b"}, '{"$map":[["a",1],[2,"b"]]}'),
        ({"$tuple": [1]}, '{"$dict":{"$tuple":[1]}}'),
        ({"$dict": {"$x": 1}}, '{"$dict":{"$dict":{"$dict":{"$x":1}}}}'),
        ({"$a": 1, "b": 2}, '{"$a":1,"b":2}'),
        (b"ab", '{"$bytes":"YWI="}'),
        (bytearray(b"ab"), '{"$bytearray":"YWI="}'),
        (2**64, '{"$int":"18446744073709551616"}'),
        (-(2**63) - 1, '{"$int":"-9223372036854775809"}'),
        (float("inf"), '{"$float":"inf"}'),
        (complex(1, -0.0), '{"$complex":[1.0,-0.0]}'),
        (Decimal("1.10"), '{"$decimal":"1.10"}'),
        ("a\\\udc80", r'{"$str":"a\\\\\\udc80"}'),
        (dt.date(2026, 1, 2), '{"$date":"2026-01-02"}'),
        (dt.timedelta(1, 2, 3), '{"$timedelta":[1,2,3]}'),
        (dt.time(1, 2, tzinfo=dt.UTC), '{"$time":"01:02:00+00:00"}'),
        (
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            '{"$datetime":"2026-01-01T00:00:00+00:00"}',
        ),
        (
            dt.datetime(2026, 10, 25, 2, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
            '{"$datetime":"2026-10-25T02:00:00+01:00[Europe/Berlin][fold=1]"}',
        ),
        (UUID(int=1), '{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
        (Colour.CRIMSON, '{"$enum":["Colour","RED"]}'),
        (Access(3), '{"$enum":["Access",3]}'),
        (Point(1, (2,)), '{"$dataclass":["Point",{"x":1,"y":{"$tuple":[2]}}]}'),
    ],
)
def test_what_redis_keeps_can_be_read_by_a_person(value: Any, stored: str) -> None:
    """Plain values are plain JSON, and tags say what they stand for."""
    assert CODEC.encode(value).decode() == stored
    assert canonical(there_and_back(value)) == canonical(value)


def test_order_of_keys_is_kept() -> None:
    """Dicts come back in their order, with tags and without."""
    for value in ({"b": 1, "a": 2}, {2: 1, 1: 2, "x": 3}, {"b": (), "a": 2}):
        assert list(there_and_back(value)) == list(value)


def test_sets_are_stored_in_one_order() -> None:
    """Equal sets have equal bytes, whatever their members are."""
    members: list[Any] = [uuid4() for _ in range(50)]
    backwards = members[::-1]
    assert CODEC.encode(set(members)) == CODEC.encode(set(backwards))


def test_integers_of_any_size_pass_the_interpreters_limit() -> None:
    """An integer of more digits than int() reads as decimal text comes back."""
    value = -(10**6000)
    assert there_and_back(value) == value


LOOP: list[Any] = [1]
LOOP.append({"x": LOOP})
PLAIN_LOOP: list[Any] = []
PLAIN_LOOP.append([PLAIN_LOOP, PLAIN_LOOP])


@pytest.mark.parametrize(
    ("value", "path", "type_name"),
    [
        (object(), "$", "object"),
        ({"hosts": [0, 1, 2, object()]}, "$['hosts'][3]", "object"),
        ({"a": ({1: {"b": len}},)}, "$['a'][0][1]['b']", "builtin_function_or_method"),
        ({(1, len): 2}, None, "builtin_function_or_method"),
        ({"a": {1, Text("x")}}, "$['a']{'x'}", f"{__name__}.Text"),
        ([Point(1, [range(3)])], "$[0].y[0]", "range"),
        ([OrderedDict(a=1)], "$[0]", "collections.OrderedDict"),
        ([Text("x")], "$[0]", f"{__name__}.Text"),
        ({Text("x"): 1}, "$.key('x')", f"{__name__}.Text"),
        ([Pair(1, 2)], "$[0]", f"{__name__}.Pair"),
        ([Unknown.A], "$[0]", f"{__name__}.Unknown"),
        (Unknown.A, "$", f"{__name__}.Unknown"),
        ([Stranger()], "$[0]", f"{__name__}.Stranger"),
        ([memoryview(b"x")], "$[0]", "memoryview"),
        ([ValueError("x")], "$[0]", "ValueError"),
        ([int], "$[0]", "type"),
        ([partial(int)], "$[0]", "functools.partial"),
        ([dt.datetime(2026, 1, 1, tzinfo=Zone())], "$[0]", "datetime.datetime"),
        (LOOP, "$[1]['x']", "list"),
        (PLAIN_LOOP, "$[0][0]", "list"),
    ],
)
def test_what_would_come_back_otherwise_is_refused(
    value: Any, path: str | None, type_name: str
) -> None:
    """The error names the path inside the value and the type found there."""
    with pytest.raises(ValueRefused) as caught:
        CODEC.encode(value)
    assert caught.value.type_name == type_name
    if path is not None:
        assert caught.value.path == path
    assert caught.value.path in str(caught.value)


def nested(levels: int, wrap: Any) -> Any:
    """Wrap a value again and again."""
    value: Any = wrap(1)
    for _ in range(levels - 1):
        value = wrap(value)
    return value


WRAPS = [
    lambda value: [value],
    lambda value: {"a": value},
    lambda value: (value,),
    lambda value: {1: value},
    lambda value: {"$a": value},
    lambda value: Point(0, value),
]


@pytest.mark.parametrize("wrap", WRAPS, ids=range(len(WRAPS)))
def test_depth_is_bounded(wrap: Any) -> None:
    """As deep as allowed comes back; one level more is refused."""
    value = nested(200, wrap)
    back = there_and_back(value)
    assert CODEC.encode(back) == CODEC.encode(value)
    with pytest.raises(ValueRefused, match="deeper than 200"):
        CODEC.encode(nested(201, wrap))


def test_a_part_that_is_shared_counts_at_its_deepest() -> None:
    """A list that is met high up is still too deep further down."""
    for wrap in WRAPS[:3]:
        part = nested(150, wrap)
        with pytest.raises(ValueRefused, match="deeper than 200"):
            CODEC.encode([part, nested(10, lambda v: [v]), [[part]] * 2, deep(part)])
        assert there_and_back([deep(part, 40), part]) == [deep(part, 40), part]


def test_a_shared_part_is_written_at_any_depth() -> None:
    """A part that was first met far down is written again near the surface."""
    part = nested(50, lambda value: (value,))
    value = [deep(part, 69), deep(part, 57), part, {1: deep(part)}, (part,)]
    assert canonical(there_and_back(value)) == canonical(value)


def test_the_deepest_values_can_be_read() -> None:
    """What takes most levels of JSON is read back at the largest depth."""
    codec = Codec(registry=REGISTRY, max_depth=250)
    for wrap in WRAPS:
        data = codec.encode(nested(250, wrap))
        assert codec.encode(codec.decode(data, key="k")) == data


def deep(value: Any, levels: int = 60) -> Any:
    """Put a value into so many lists."""
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "wrap", [lambda v: [v, v], lambda v: (v, v)], ids=["list", "tuple"]
)
def test_a_small_value_that_would_be_huge_is_refused_at_once(wrap: Any) -> None:
    """Sharing parts cannot make the codec write more than it may."""
    with pytest.raises(ValueRefused, match="larger than"):
        CODEC.encode(nested(100, wrap))


@pytest.mark.parametrize(
    "value",
    [["x" * 50] * 2, ("x" * 100,), {"x" * 100: 1}, {"x" * 99: ()}, [[]] * 50]
    + [pytest.param(v, id=type(v).__name__) for v in ("x" * 99, b"x" * 100, 2**1000)],
)
def test_size_is_bounded(value: Any) -> None:
    """More bytes than allowed are refused, and the path is the whole value."""
    with pytest.raises(ValueRefused, match="larger than 99 bytes") as caught:
        Codec(max_bytes=99).encode(value)
    assert caught.value.path == "$"
    assert caught.value.type_name == type(value).__name__
    assert there_and_back(value, Codec(max_bytes=1000)) == value


def test_a_value_of_the_largest_size_is_stored() -> None:
    """The limit is on the bytes of JSON, to the byte."""
    assert Codec(max_bytes=10).encode("x" * 8) == b'"xxxxxxxx"'
    with pytest.raises(ValueRefused):
        Codec(max_bytes=10).encode("x" * 9)


def test_an_exhausted_stack_is_an_error_of_ours() -> None:
    """Near the end of the stack a value is refused, not half written."""

    def descend(levels: int) -> bytes:
        return descend(levels - 1) if levels else CODEC.encode(nested(190, WRAPS[2]))

    with pytest.raises(ValueRefused, match="stack"):
        descend(sys.getrecursionlimit() - 300)


def test_a_dataclass_comes_back_without_its_init() -> None:
    """Fields are set as they were stored, and nothing is run."""
    box = Box((1,))
    box.init_ran = False
    back = there_and_back(box)
    assert type(back) is Box
    assert back.content == (1,)
    assert back.init_ran is False


def test_what_a_dataclass_remembers_is_not_stored() -> None:
    """A cached property is computed again; another attribute is refused."""
    point = Point(1, 2)
    assert point.total == 3
    assert "total" not in vars(there_and_back(point))
    object.__setattr__(point, "extra", 1)
    with pytest.raises(ValueRefused, match="'extra' that is no field"):
        CODEC.encode(point)


def test_an_instance_without_its_fields_is_refused() -> None:
    """What skipped its own making is neither a value nor a member."""
    for value in ([object.__new__(Point)], [object.__new__(Colour)]):
        with pytest.raises(ValueRefused) as caught:
            CODEC.encode(value)
        assert caught.value.path == "$[0]"


def test_a_field_that_was_added_later_gets_its_default() -> None:
    """Values of an older version of a class are read with its defaults."""
    stored = b'{"$dataclass":["Point",{"x":1}]}'
    assert CODEC.decode(stored, key="k") == Point(1, 0)
    stored = b'{"$dataclass":["Box",{}]}'
    assert CODEC.decode(stored, key="k").content == []


def test_a_class_must_be_registered_where_it_is_read() -> None:
    """A stored class name is looked up in the registry and never imported."""
    with pytest.raises(CorruptKey, match="not registered here"):
        Codec().decode(CODEC.encode(Point(1)), key="k")


def test_registering_is_by_function_or_decorator() -> None:
    """The default registry knows a class by its module and name."""
    assert register(Stranger2) is Stranger2
    assert there_and_back(Stranger2(5), Codec()) == Stranger2(5)
    assert f"{__name__}:Stranger2".encode() in Codec().encode(Stranger2())
    register(Stranger2)
    registry = Registry()
    assert registry.register(name="s")(Stranger2) is Stranger2
    assert registry.name_of(Stranger2) == "s"


@dataclass
class Stranger2:
    """A dataclass that a test registers."""

    x: int = 1


@dataclass
class ListOfFields(list):  # type: ignore[type-arg]
    """A dataclass that cannot be made from its fields alone."""

    x: int = 1


class Child(Point):
    """Inherits from a dataclass and is none."""


@pytest.mark.parametrize("cls", [int, Text, Pair, 5, ListOfFields, Child])
def test_only_enums_and_dataclasses_can_be_registered(cls: Any) -> None:
    """What cannot be rebuilt from fields is refused when it is registered."""
    with pytest.raises(ConfigError):
        Registry().register(cls)


def test_a_class_inside_a_function_cannot_be_registered() -> None:
    """Another process could not have the same class."""

    @dataclass
    class Local:
        x: int

    with pytest.raises(ConfigError, match="inside a function"):
        Registry().register(Local)


def test_two_classes_cannot_share_a_name() -> None:
    """The second class of a name is refused."""
    registry = Registry()
    registry.register(Point, name="p")
    with pytest.raises(ConfigError, match="registered already"):
        registry.register(Box, name="p")


def test_a_hook_sees_all_bytes() -> None:
    """Values pass the hook both ways, and what it cannot read is corrupt."""
    codec = Codec(hook=Compress())
    for value in (None, "x", (1, 2), ["x" * 1000]):
        assert zlib.decompress(codec.encode(value)) == CODEC.encode(value)
        assert there_and_back(value, codec) == value
    with pytest.raises(CorruptKey, match="k: "):
        codec.decode(b"null", key="k")


@pytest.mark.parametrize("options", [{"max_depth": 0}, {"max_depth": 251}])
def test_limits_that_cannot_be_kept_are_refused(options: dict[str, int]) -> None:
    """A depth that could be written and not be read is no option."""
    with pytest.raises(ConfigError):
        Codec(**options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError):
        Codec(max_bytes=0)


def test_plain_json_of_our_own() -> None:
    """Our own structures are written and read without tags."""
    assert dumps_plain({"a": [1, "x"]}) == b'{"a":[1,"x"]}'
    assert dumps_plain([1], indent=True) == b"[\n  1\n]"
    assert loads_plain('{"$tuple":[1]}') == {"$tuple": [1]}
    with pytest.raises(TypeError):
        dumps_plain({1: 2})
    with pytest.raises(ValueError, match="invalid literal"):
        loads_plain(b"nope")


def test_decoding_imports_nothing() -> None:
    """No stored name brings a module into the process."""
    code = """if True:
        import sys
        from redisflow.codec import Codec
        from redisflow.errors import CorruptKey
        before = set(sys.modules)
        for name in ("this:x", "antigravity:geohash"):
            for tag in ("$enum", "$dataclass"):
                try:
                    Codec().decode(b'{"%s":["%s",{}]}' % (tag.encode(), name.encode()),
                                   key="k")
                except CorruptKey:
                    continue
                raise SystemExit("read")
        assert set(sys.modules) == before, set(sys.modules) - before
    """
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
