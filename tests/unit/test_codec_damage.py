"""Whatever bytes are found, they give a value or CorruptKey, and soon."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskflow.types.failure import Failure

from redisflow.codec import dumps_plain
from redisflow.codec.scalars import LOADERS
from redisflow.codec.values import Loader
from redisflow.errors import CorruptKey
from tests.support.values import CODEC, values

TAGS = [*LOADERS, *Loader._TAGS, "$unknown", "$"]
TEXTS = [
    "Point",
    "Colour",
    "RED",
    "x",
    "YWI=",
    "9" * 5000,
    "0x" + "f" * 9999,
    "nan",
    "1e999999999999999999999",
    "\\u",
    "\\ud800",
    "2026-01-01[Europe/Berlin]",
    "2026-01-01[no/x]",
    "2026-01-01[/etc/passwd]",
    "2026-01-01[../../etc/passwd]",
    "2026-01-01T00:00:00+99:00",
    "0001-01-01T00:00:00+23:59",
    "00:00:00[posix]",
]

records = st.fixed_dictionaries(
    {},
    optional={
        name: st.deferred(lambda: tagged)
        for name in Failure(exception_str="", exc_type_names=["E"]).to_dict()
    },
)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(TEXTS)
)
tagged: st.SearchStrategy[Any] = st.recursive(
    leaves | records,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*TAGS, "x"]), inner, min_size=1, max_size=1)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=15,
)
quick = settings(
    deadline=2000,
    max_examples=300,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def read(data: bytes) -> None:
    """Decode bytes as a value and as a failure; anything but CorruptKey escapes."""
    for decode in (CODEC.decode, CODEC.decode_failure):
        with contextlib.suppress(CorruptKey):
            decode(data, key="the key")


@quick
@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """Bytes of anybody's give a value or CorruptKey."""
    read(data)


@quick
@given(tagged)
def test_any_tags(tree: Any) -> None:
    """Tags in any place, with anything behind them, give a value or CorruptKey."""
    read(dumps_plain(tree))


@quick
@given(values, st.data())
def test_damaged_values(value: Any, data: st.DataObject) -> None:
    """A value with a part cut out, doubled or replaced gives another or CorruptKey."""
    stored = CODEC.encode(value)
    start = data.draw(st.integers(0, len(stored)))
    end = data.draw(st.integers(start, min(len(stored), start + 8)))
    middle = data.draw(
        st.sampled_from([b"", stored[start:end] * 2, b"[", b"}", b'"', b"$", b"0"])
    )
    read(stored[:start] + middle + stored[end:])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nope",
        b"\xff",
        b"[" * 100_000,
        b"[" * 1000 + b'{"$tuple":[]}' + b"]" * 1000,
        b'{"$tuple":[' * 400 + b"]}" * 400,
        b'{"$unknown":1}',
        b'{"$":1}',
        b'{"$tuple":{"a":1}}',
        b'{"$set":[1,1]}',
        b'{"$set":[[1]]}',
        b'{"$map":[[1,2],[1,3]]}',
        b'{"$map":[[[],1]]}',
        b'{"$map":[[1]]}',
        b'{"$dict":[1]}',
        b'{"$bytes":5}',
        b'{"$bytes":"a"}',
        b'{"$int":"1_0"}',
        b'{"$int":"' + b"1" * 100_000 + b'"}',
        b'{"$float":"1.5"}',
        b'{"$complex":[1,2]}',
        b'{"$complex":[1.0]}',
        b'{"$int":"' + b"1" * 100 + b'"',
        b'{"$time":"1[["}',
        b'{"$str":"\\\\"}',
        b'{"$decimal":"x"}',
        b'{"$date":"x"}',
        b'{"$datetime":"2026-01-01T00:00:00[Nowhere/Land]"}',
        b'{"$datetime":["2026-01-01T00:00:00","CET"]}',
        b'{"$timedelta":[1,2,3.5]}',
        b'{"$timedelta":[99999999999,0,0]}',
        b'{"$uuid":"x"}',
        b'{"$enum":["Colour","GREEN"]}',
        b'{"$enum":["Point","x"]}',
        b'{"$enum":["Access",64]}',
        b'{"$enum":[["Colour"],"RED"]}',
        b'{"$dataclass":["Colour",{}]}',
        b'{"$dataclass":["Point",{}]}',
        b'{"$dataclass":["Point",{"x":1,"z":2}]}',
        b'{"$dataclass":["Point",[]]}',
        b'{"$set":[{"$dataclass":["Point",{"x":[]}]}]}',
        b'{"$failure":{}}',
        b'{"$failure":[]}',
    ],
)
def test_damage_is_corrupt(data: bytes) -> None:
    """What no codec wrote is not taken for a value."""
    with pytest.raises(CorruptKey, match="the key: ") as caught:
        CODEC.decode(data, key="the key")
    assert caught.value.key == "the key"


RECORD = {
    "exc_type_names": ["E"],
    "exception_str": "x",
    "exc_args": [],
    "traceback_str": None,
    "causes": [],
    "version": 1,
}


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"exc_type_names": "E"},
        {"exc_type_names": [1]},
        {"exc_args": {}},
        {"exception_str": 1},
        {"exception_str": {"$tuple": []}},
        {"traceback_str": 1},
        {"causes": 1},
        {"causes": [1]},
        {"causes": [RECORD] * 101},
    ],
)
def test_damaged_failures_are_corrupt(change: dict[str, Any]) -> None:
    """A record whose fields are of other types is not taken for a failure."""
    CODEC.decode_failure(dumps_plain(RECORD), key="k")
    with pytest.raises(CorruptKey):
        CODEC.decode_failure(dumps_plain(RECORD | change), key="k")


def test_causes_nested_without_end_are_corrupt() -> None:
    """Causes in causes are read to a bound."""
    record: dict[str, Any] = RECORD
    for _ in range(50):
        record = RECORD | {"causes": [record]}
    with pytest.raises(CorruptKey, match="too deeply"):
        CODEC.decode_failure(dumps_plain(record), key="k")


def test_an_exhausted_stack_is_an_error_of_ours() -> None:
    """Near the end of the stack reading ends in CorruptKey, not in RecursionError."""
    value: Any = ()
    for _ in range(190):
        value = (value,)
    stored = CODEC.encode(value)

    def descend(levels: int) -> Any:
        return descend(levels - 1) if levels else CODEC.decode(stored, key="k")

    with pytest.raises(CorruptKey, match="Recursion"):
        descend(sys.getrecursionlimit() - 300)
