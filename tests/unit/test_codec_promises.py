"""What the codec promises of every type: refusals by path, and nothing that runs."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskflow.types.failure import Failure

from redisflow.codec import Codec, Registry, dumps_plain, failure_from
from redisflow.errors import CorruptKey, ValueRefused
from tests.support.values import CODEC, Point, canonical, hashables, texts, values

quick = settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    max_examples=60,
)

# Failures among values

failures: st.SearchStrategy[Failure] = st.recursive(
    st.builds(
        Failure,
        exc_type_names=st.lists(texts, min_size=1, max_size=3),
        exception_str=texts,
        traceback_str=st.none() | texts,
        exc_args=st.lists(values, max_size=3).map(tuple),
        causes=st.just(()),
    ),
    lambda inner: st.builds(
        Failure,
        exc_type_names=st.just(("E", "Exception")),
        exception_str=texts,
        traceback_str=st.none() | texts,
        exc_args=st.lists(inner, max_size=2).map(tuple),
        causes=st.lists(inner, max_size=3).map(tuple),
    ),
    max_leaves=4,
)


def told(value: Any) -> Any:
    """Return what two values share only if they are the same, failures included."""
    if type(value) is Failure:
        return (
            Failure,
            tuple(value),
            value.exception_str,
            value.traceback_str,
            [told(arg) for arg in value.exception_args],
            [told(cause) for cause in value.causes],
        )
    if type(value) in (list, tuple):
        return type(value), [told(part) for part in value]
    return canonical(value)


@quick
@given(failures)
def test_failures_of_any_fields_come_back(failure: Failure) -> None:
    """Failures with values, failures and causes in them come back whole."""
    for value in (failure, [failure, (failure,)]):
        back = CODEC.decode(CODEC.encode(value), key="k")
        assert told(back) == told(value)
    stored = CODEC.encode_failure(failure)
    assert told(CODEC.decode_failure(stored, key="k")) == told(failure)


class Breaks:
    """Has neither a repr nor a str, and no attribute that can be read."""

    def __repr__(self) -> str:
        """Fail."""
        raise ValueError("no")

    def __getattribute__(self, name: str) -> Any:
        """Fail."""
        raise ValueError("no")


class NoStr(Exception):
    """An exception without words."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError("no")


class NoBool(Exception):
    """An exception that is neither true nor false, nor equal to anything."""

    def __bool__(self) -> bool:
        """Fail."""
        raise ValueError("no")

    def __eq__(self, _: object) -> bool:
        """Fail."""
        raise ValueError("no")

    __hash__ = None  # type: ignore[assignment]


ODD = (threading.Lock(), Breaks(), [Breaks()], len, object, {1: threading.Lock()})
odd_arguments = st.integers(0, len(ODD) - 1).map(lambda number: ODD[number])
leaf_errors = st.builds(
    lambda cls, args: cls(*args),
    st.sampled_from(
        [ValueError, NoStr, NoBool, OSError, KeyboardInterrupt, StopIteration]
    ),
    st.lists(values | odd_arguments, max_size=3),
)


def joined(errors: list[BaseException], shape: int, note: Any) -> BaseException:
    """Make one exception of several: a group, or a chain that may be a ring."""
    if shape == 0:
        made: BaseException = BaseExceptionGroup("group", errors)
    else:
        made = errors[0]
        for first, second in zip(errors, errors[1:] + errors[:1], strict=True):
            if shape == 1:
                first.__cause__ = second
            else:
                first.__context__ = second
    made.__notes__ = [note]
    return made


errors = st.recursive(
    leaf_errors,
    lambda inner: st.builds(
        joined,
        st.lists(inner, min_size=1, max_size=4),
        st.integers(0, 2),
        texts | odd_arguments,
    ),
    max_leaves=8,
)


@quick
@given(errors, st.sampled_from([1, 5000, 2**24]))
def test_any_failure_can_be_stored(error: BaseException, max_bytes: int) -> None:
    """Whatever an exception holds and is linked to, its failure fits and is read."""
    codec = Codec(max_bytes=max_bytes)
    stored = codec.encode_failure(failure_from(error))
    assert len(stored) <= max(max_bytes, 4096)
    back = codec.decode_failure(stored, key="k")
    assert back.check(type(error))
    assert codec.encode_failure(back)


def test_a_traceback_without_end_is_stored() -> None:
    """The failure of a recursion that was too deep can be kept and read."""

    def recurse(depth: int) -> Any:
        return [recurse(depth + 1)]

    try:
        recurse(0)
    except RecursionError as error:
        stored = CODEC.encode_failure(failure_from(error))
    assert "recurse" in CODEC.decode_failure(stored, key="k").traceback_str


# Refusals

POISON = object()

containers = st.recursive(
    st.just(POISON),
    lambda inner: (
        st.builds(
            lambda left, part, right: [*left, part, *right],
            st.lists(hashables, max_size=2),
            inner,
            st.lists(values, max_size=1),
        )
        | inner.map(lambda part: (1, part))
        | st.builds(
            lambda key, part: {"other": 1, key: part}, st.text(max_size=5), inner
        )
        | st.builds(lambda key, part: {key: part}, st.integers() | st.booleans(), inner)
        | inner.map(lambda part: Point(1, part))
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(containers)
def test_the_path_leads_to_what_was_refused(value: Any) -> None:
    """Following the path of an error from the value ends at the part it names."""
    with pytest.raises(ValueRefused) as caught:
        CODEC.encode(value)
    found = eval(f"value{caught.value.path[1:]}", {"value": value})
    assert found is POISON
    assert caught.value.type_name == "object"


@pytest.mark.parametrize(
    "base",
    [
        *(
            str,
            bytes,
            bytearray,
            int,
            float,
            complex,
            list,
            tuple,
            set,
            frozenset,
            dict,
        ),
        *(dt.date, dt.datetime, dt.time, dt.timedelta),
        *(decimal.Decimal, uuid.UUID, Failure),
    ],
)
def test_subclasses_of_every_plain_type_are_refused(base: Any) -> None:
    """What would come back as its base class is no value, wherever it stands."""
    arguments: dict[Any, tuple[Any, ...]] = {
        dt.date: (2026, 1, 1),
        dt.datetime: (2026, 1, 1),
        uuid.UUID: ("0" * 32,),
    }
    fields = {"exc_type_names": ["E"], "exception_str": ""} if base is Failure else {}
    value = type("Sub", (base,), {})(*arguments.get(base, ()), **fields)
    places: list[Any] = [value, [value], (1, value), {"a": value}, {1: value}]
    try:
        places += [{value}, frozenset([(value,)]), {value: 1}]
    except TypeError:
        assert base in (bytearray, list, set, dict, Failure)
    for place in places:
        with pytest.raises(ValueRefused) as caught:
            CODEC.encode(place)
        assert caught.value.type_name == f"{__name__}.Sub"


def test_an_error_names_whose_value_it_is() -> None:
    """The name that the value was to have stands in the error, and in its text."""
    with pytest.raises(ValueRefused, match=r"^'hosts': \$\[0\]: ") as caught:
        CODEC.encode([POISON], name="hosts")
    assert (caught.value.name, caught.value.path) == ("hosts", "$[0]")
    with pytest.raises(ValueRefused, match=r"^'hosts': \$: larger") as caught:
        Codec(max_bytes=1).encode("xx", name="hosts")
    with pytest.raises(ValueRefused, match=r"^\$: ") as caught:
        CODEC.encode(POISON)
    assert caught.value.name == ""


def test_the_limits_are_those_that_are_promised() -> None:
    """A codec of nobody's making takes 16 MiB and 200 levels, and no more."""
    largest = "x" * (16 * 2**20 - 2)
    assert len(Codec().encode(largest)) == 16 * 2**20
    with pytest.raises(ValueRefused, match="larger than 16777216 bytes"):
        Codec().encode(largest + "x")
    deepest: Any = []
    for _ in range(199):
        deepest = [deepest]
    assert Codec().decode(Codec().encode(deepest), key="k") == deepest
    with pytest.raises(ValueRefused, match="deeper than 200"):
        Codec().encode([deepest])


# Reading


class Mask(enum.IntFlag, boundary=enum.EJECT):
    """A flag that makes a plain int of bits that it does not know."""

    A = 1


def test_bits_that_a_flag_does_not_know_are_corrupt() -> None:
    """A member is read as a member, and never as a number."""
    registry = Registry()
    registry.register(Mask, name="Mask")
    codec = Codec(registry=registry)
    assert codec.decode(codec.encode(Mask.A), key="k") is Mask.A
    with pytest.raises(CorruptKey):
        codec.decode(b'{"$enum":["Mask",64]}', key="k")


def test_no_context_makes_a_number_of_a_text_that_is_none() -> None:
    """Decimals are read alike whatever the thread's context allows."""
    with decimal.localcontext() as context:
        context.traps[decimal.InvalidOperation] = False
        context.prec = 2
        with pytest.raises(CorruptKey):
            CODEC.decode(b'{"$decimal":"x"}', key="k")
        exact = decimal.Decimal("1.23456789")
        assert CODEC.decode(CODEC.encode(exact), key="k") == exact


@dataclass
class Loud:
    """A registered class all of whose own code can be heard."""

    x: int = 1
    heard = False

    def __init__(self) -> None:
        """Be heard."""
        type(self).heard = True

    def __new__(cls, *_: Any) -> Loud:
        """Be heard."""
        cls.heard = True
        return object.__new__(cls)

    def __setattr__(self, name: str, value: Any) -> None:
        """Be heard."""
        type(self).heard = True
        object.__setattr__(self, name, value)

    def __setstate__(self, state: Any) -> None:
        """Be heard."""
        type(self).heard = True

    def __post_init__(self) -> None:
        """Be heard."""
        type(self).heard = True


def test_nothing_of_a_registered_class_is_called() -> None:
    """Reading an instance runs none of its class's code."""
    registry = Registry()
    registry.register(Loud, name="Loud")
    value = object.__new__(Loud)
    object.__setattr__(value, "x", 5)
    codec = Codec(registry=registry)
    back = codec.decode(codec.encode(value), key="k")
    assert (type(back), back.x, Loud.heard) == (Loud, 5, False)


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Make a module that tells when it is imported; returns where it tells."""
    sign = tmp_path / "imported"
    (tmp_path / "trap_of_a_test.py").write_text(
        "import dataclasses, enum, pathlib\n"
        f"pathlib.Path({str(sign)!r}).touch()\n"
        "class Trap(Exception): pass\n"
        "class Kind(enum.Enum): A = 1\n"
        "@dataclasses.dataclass\n"
        "class Thing: x: int = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join([str(tmp_path), *sys.path]))
    yield sign
    assert "trap_of_a_test" not in sys.modules


def test_reading_imports_no_module_that_is_named(trap: Path) -> None:
    """Classes stored by a process that has a module do not bring it into another."""
    writer = (
        "import sys; from redisflow.codec import Codec, register, failure_from\n"
        "import trap_of_a_test as t\n"
        "c = Codec(); register(t.Kind); register(t.Thing)\n"
        "for data in (c.encode(t.Kind.A), c.encode([t.Thing()]),\n"
        "             c.encode_failure(failure_from(t.Trap(t.Trap())))):\n"
        "    print(data.decode())\n"
    )
    made = subprocess.run(
        [sys.executable, "-c", writer], capture_output=True, text=True, check=True
    )
    trap.unlink()
    member, thing, failure = made.stdout.splitlines()
    for stored in (member, thing):
        with pytest.raises(CorruptKey, match=r"trap_of_a_test:.* is not registered"):
            Codec().decode(stored.encode(), key="k")
    back = Codec().decode_failure(failure.encode(), key="k")
    assert back.check("trap_of_a_test.Trap")
    for tag in CODEC._loader._TAGS:
        for name in ("trap_of_a_test", "trap_of_a_test:Thing", "trap_of_a_test.Kind"):
            for payload in (
                name,
                [name, {}],
                [name, "A"],
                {name: name},
                [[name, name]],
            ):
                try:
                    Codec().decode(dumps_plain({tag: payload}), key="k")
                except CorruptKey:
                    continue
    assert not trap.exists()
