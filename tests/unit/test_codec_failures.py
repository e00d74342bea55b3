"""A failure can always be stored, and comes back as TaskFlow compares them."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from taskflow import exceptions
from taskflow.types.failure import Failure

from redisflow.codec import Codec, failure_from
from redisflow.errors import CorruptKey
from tests.support.values import CODEC, Compress, values


def caught(error: BaseException, cause: BaseException | None = None) -> Failure:
    """Raise an error and return its failure."""
    try:
        if cause is not None:
            raise error from cause
        raise error
    except BaseException:  # noqa: BLE001 - any of them is meant
        return failure_from(sys.exc_info()[1] or error)


def there_and_back(failure: Failure, codec: Codec = CODEC) -> Failure:
    """Encode and decode a failure."""
    return codec.decode_failure(codec.encode_failure(failure), key="a key")


def chain(length: int) -> BaseException:
    """Return an exception with so many causes."""
    error: BaseException | None = None
    for number in range(length + 1):
        try:
            raise ValueError(number) from error
        except ValueError as raised:
            error = raised
    assert error is not None
    return error


class Hostile(Exception):
    """An exception none of whose own methods works."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        """Fail."""
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


class BadRepr:
    """An argument without repr."""

    def __repr__(self) -> str:
        """Fail."""
        raise RuntimeError


@settings(max_examples=50)
@given(values.filter(lambda value: "nan" not in repr(value).lower()))
def test_a_failure_matches_after_its_journey(value: Any) -> None:
    """TaskFlow finds no difference where arguments can be stored."""
    failure = caught(ValueError("text", value))
    back = there_and_back(failure)
    assert failure.matches(back)
    assert back.matches(failure)
    assert type(back) is Failure
    assert back.check(ValueError)
    assert there_and_back(back).traceback_str == failure.traceback_str


def test_a_failure_inside_a_value_comes_back() -> None:
    """A retry's history and a list of results may hold failures."""
    failure = caught(KeyError((1, 2)))
    history = [(None, {"a": failure}), {failure.exception_str: [failure, failure]}]
    back = CODEC.decode(CODEC.encode(history), key="k")
    assert failure.matches(back[0][1]["a"])
    assert all(map(failure.matches, back[1][failure.exception_str]))
    assert b'{"$failure":{"exc_type_names":["KeyError",' in CODEC.encode(failure)


def test_a_decoded_failure_is_equal_to_its_next_copy() -> None:
    """What was read can be stored and read again without a change."""
    once = there_and_back(caught(ValueError("x"), chain(3)))
    assert once == there_and_back(once)
    assert CODEC.encode_failure(once) == CODEC.encode_failure(there_and_back(once))


@pytest.mark.parametrize(
    ("argument", "kept"),
    [
        (len, repr(len)),
        ({"f": len}, repr({"f": len})),
        (threading.Thread, repr(threading.Thread)),
        (BadRepr(), f"<{__name__}.BadRepr object whose repr() failed>"),
        ([BadRepr()], "<list object whose repr() failed>"),
        (ValueError("x"), "ValueError('x')"),
    ],
)
def test_arguments_that_cannot_be_stored_are_kept_as_text(
    argument: object, kept: str
) -> None:
    """Their repr stands in for them; the others are kept as they are."""
    back = there_and_back(caught(ValueError(1, argument, (2,)).with_traceback(None)))
    assert back.exception_args == (1, kept, (2,))


def test_arguments_that_contain_themselves_are_kept_as_text() -> None:
    """Neither a list in itself nor a failure in its own exception is followed."""
    loop: list[Any] = []
    loop.append(loop)
    assert there_and_back(caught(ValueError(loop))).exception_args == ("[[...]]",)
    error = ValueError("x")
    failure = caught(error)
    error.args = (failure,)
    failure = Failure.from_exception(error)
    (inner,) = there_and_back(failure).exception_args
    assert isinstance(inner, Failure)


def test_causes_are_kept_in_order() -> None:
    """Each cause has those that follow it, as TaskFlow computes them."""
    failure = caught(RuntimeError("top"), chain(3))
    back = there_and_back(failure)
    assert [cause.exception_str for cause in back.causes] == ["3", "2", "1", "0"]
    for ours, theirs in zip(back.causes, failure.causes, strict=True):
        assert ours.traceback_str == theirs.traceback_str
        assert [c.exception_str for c in ours.causes] == [
            c.exception_str for c in theirs.causes
        ]


def test_a_long_chain_is_stored_in_line() -> None:
    """Many causes neither double the record with each of them nor go for ever."""
    back = there_and_back(caught(RuntimeError("top"), chain(300)))
    assert len(back.causes) == 100
    assert len(CODEC.encode_failure(caught(RuntimeError(), chain(40)))) < 40_000


def test_a_cycle_of_causes_ends() -> None:
    """Exceptions that cause each other are stored once each."""
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    back = there_and_back(Failure.from_exception(first))
    assert [cause.exception_str for cause in back.causes] == ["second"]


def test_a_tree_of_causes_is_kept() -> None:
    """Causes given by hand keep their own causes."""
    fields: dict[str, Any] = {"exc_type_names": ("E",), "traceback_str": None}
    leaf = Failure(exception_str="leaf", **fields)
    left = Failure(exception_str="left", causes=(leaf,), **fields)
    right = Failure(exception_str="right", causes=(), **fields)
    top = Failure(exception_str="top", causes=(left, right), **fields)
    assert top.matches(there_and_back(top))
    live = (caught(ValueError("a")), caught(ValueError("b"), chain(0)))
    top = Failure(exception_str="top", causes=live, **fields)
    back = there_and_back(top)
    assert back.causes[0].causes == ()
    assert [c.exception_str for c in back.causes[1].causes] == ["0"]


def test_a_deep_tree_of_causes_is_bounded() -> None:
    """Causes in causes without end are cut, and what is left can be read."""
    failure = caught(ValueError("x"))
    for number in range(100):
        failure = Failure(
            exception_str=str(number),
            exc_type_names=["E"],
            traceback_str="",
            causes=(failure, failure),
        )
    assert there_and_back(failure).exception_str == "99"


def test_failures_that_taskflow_cannot_make() -> None:
    """An exception with a hostile str(), or that is none, has a failure too."""
    for error in (Hostile(1), KeyboardInterrupt(1), SystemExit(1), GeneratorExit(1)):
        back = there_and_back(failure_from(error))
        assert back.exception_args == (1,)
        assert list(back)[-1] == "BaseException"
    assert failure_from(ValueError("x")).matches(
        Failure.from_exception(ValueError("x"))
    )


def test_causes_that_taskflow_cannot_take_are_kept() -> None:
    """A KeyboardInterrupt and a hostile exception as causes do not stop the record."""
    interrupt = KeyboardInterrupt("stop")
    interrupt.add_note("a note")
    interrupt.__cause__ = Hostile(1)
    back = there_and_back(caught(ValueError("x"), interrupt))
    assert [cause.check("KeyboardInterrupt") for cause in back.causes] == [
        "KeyboardInterrupt",
        None,
    ]
    assert "a note" in back.causes[0].traceback_str
    assert "str() failed" in back.causes[1].exception_str
    assert [c.exception_args for c in back.causes[0].causes] == [(1,)]


def test_notes_are_appended_to_the_traceback() -> None:
    """Notes, of causes too, are part of what is read; odd ones do no harm."""
    error, cause = ValueError("x"), ValueError("y")
    error.add_note("look here\nand there")
    cause.add_note("deeper")
    failure = caught(error, cause)
    back = there_and_back(failure)
    assert back.traceback_str.startswith(failure.traceback_str)
    assert back.traceback_str.endswith("Note: look here\nand there\n")
    assert back.causes[0].traceback_str == "Note: deeper\n"
    error.__notes__ = [BadRepr()]
    assert "repr() failed" in there_and_back(failure).traceback_str
    error.__notes__ = 5  # type: ignore[assignment]
    assert "Note: 5" in there_and_back(failure).traceback_str


def test_members_of_groups_are_appended_to_the_traceback() -> None:
    """Each member of an exception group, nested ones too, is written out."""
    inner = ExceptionGroup("inner", [KeyError("deep")])
    hostile = Hostile()
    group = ExceptionGroup("outer", [caught(ValueError("one")).exception, inner])
    text = there_and_back(caught(group)).traceback_str
    assert "Member 1 of 2:\n" in text
    assert "    ValueError: one\n" in text
    assert "KeyError: 'deep'" in text
    failure = caught(ExceptionGroup("g", [hostile] * 100))
    text = there_and_back(failure).traceback_str
    assert "Member 50 of 100" in text
    assert "Member 51" not in text


@pytest.mark.parametrize("max_bytes", [10, 5_000, 100_000])
@pytest.mark.parametrize(
    "error",
    [
        ValueError("x" * 1_000_000),
        ValueError("\udc80" * 100_000),
        ValueError("\0" * 100_000),
        ValueError(*["x"] * 100_000),
        ValueError({"a": ["x" * 1000] * 1000}),
        ValueError(b"x" * 1_000_000),
        ValueError([[[[[["x" * 1000] * 10] * 10] * 10] * 10] * 10]),
        ValueError("x" * 1000, caught(ValueError("y" * 1_000_000))),
        type("E" * 100_000, (ValueError,), {})("x"),
    ],
)
def test_a_failure_is_cut_until_it_fits(error: Exception, max_bytes: int) -> None:
    """Whatever an exception holds, its failure fits, and says what was cut."""
    codec = Codec(max_bytes=max_bytes)
    failure = caught(error, chain(150))
    data = codec.encode_failure(failure)
    assert len(data) <= max(max_bytes, 4096)
    assert b"characters cut" in data or b"..." in data or len(error.args) > 100
    back = codec.decode_failure(data, key="k")
    assert back.check("Exception")


def test_a_failure_that_fits_is_not_cut() -> None:
    """Long texts are whole as long as there is room."""
    failure = caught(ValueError("x" * 1_000_000))
    assert failure.matches(there_and_back(failure))


def test_failures_of_failures_come_back() -> None:
    """Failures among the arguments of an exception stay failures."""
    inner = [caught(ValueError("a")), caught(KeyError("b"))]
    failure = caught(RuntimeError(inner))
    ((first, second),) = there_and_back(failure).exception_args
    assert inner[0].matches(first)
    assert inner[1].matches(second)
    assert failure.matches(there_and_back(failure)) is False  # as from_dict's are not
    wrapped = caught(exceptions.WrappedFailure(inner))
    assert "WrappedFailure" in there_and_back(wrapped).exception_str


def test_nested_failures_end_before_the_stack_does() -> None:
    """Failures in arguments of failures are kept down to some depth."""
    failure = caught(ValueError("x"))
    for _ in range(300):
        failure = caught(ValueError(failure))
    assert there_and_back(failure).check(ValueError)


def test_odd_fields_are_kept_as_text() -> None:
    """A failure made by hand with other types in its fields is stored."""
    failure = Failure(
        exc_type_names=[1, "\ud800"],
        exception_str=None,
        traceback_str=5,
        exc_args=[1],
        causes=["no failure"],
    )
    back = there_and_back(failure)
    assert list(back) == ["1", "\ud800"]
    assert back.exception_str == "None"
    assert back.traceback_str == "5"
    assert back.causes == ()


def test_failures_pass_the_hook() -> None:
    """The hook sees failures too, both ways."""
    codec = Codec(hook=Compress())
    failure = caught(ValueError("x"))
    assert failure.matches(there_and_back(failure, codec))
    with pytest.raises(CorruptKey):
        codec.decode_failure(CODEC.encode_failure(failure), key="k")
