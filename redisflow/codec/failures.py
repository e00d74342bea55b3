"""Failures, which can always be stored.

The record has the fields of TaskFlow's ``Failure.to_dict``::

    {"exc_type_names": […], "exception_str": …, "exc_args": […],
     "traceback_str": …, "causes": […], "version": 1}

* An argument that cannot be stored is kept as its repr.
* ``to_dict`` repeats the rest of the chain inside every cause, which doubles the
  record with each of them. Here a cause without ``causes`` has those that follow
  it in the list, so a chain is stored once. Chains and trees are bounded, and a
  cycle ends where it closes.
* Notes and members of exception groups, for which a Failure has no field, are
  appended to ``traceback_str``.
* What is longer than a value may be is cut, texts in their middle and with a
  mark, in steps until it fits.

``original.matches(decoded)`` holds where nothing of that kind happened and there
are no causes: TaskFlow compares causes by identity of their exceptions, which
its own ``to_dict`` and ``from_dict`` do not keep either.
"""

from __future__ import annotations

import operator
import reprlib
import textwrap
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from taskflow.types.failure import Failure

from redisflow.codec.refusal import Refusal, attempt, cut, describe, name_of
from redisflow.codec.scalars import dump_text, load_text

MAX_CAUSES = 100
_MAX_RECORDS = 256
_MAX_NESTING = 20
_MAX_MEMBERS = 50
#: A failure always fits in this many bytes, and is given them at the least.
FLOOR = 4096

#: Encodes one argument, so many levels below the failure.
DumpValue = Callable[[object, int], bytes]
LoadValue = Callable[[object, int], Any]

_make: Callable[..., Failure] = Failure  # which has no types


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What a record keeps: bytes of a text or argument; how many of each."""

    text: int
    names: int = 20
    args: int = 20
    causes: int = 20


_STEPS = (
    _Bounds(256 * 1024),
    _Bounds(16 * 1024),
    _Bounds(1024, args=5, causes=3),
    _Bounds(64, names=4, args=0, causes=0),
)


@dataclass(slots=True)
class _Argument:
    """An argument of an exception: its encoding, or its repr."""

    value: object
    data: bytes | None
    text: str

    def render(self, limit: int | None) -> object:
        if self.data is None:
            return dump_text(_fit(self.text, limit))
        if limit is None or len(self.data) <= limit:
            return orjson.Fragment(self.data)
        if isinstance(self.value, str):
            return dump_text(_fit(self.value, limit))
        return dump_text(_fit(_outline(self.value), limit))


@dataclass(slots=True)
class _Record:
    """A failure taken apart, before it is known how much of it fits."""

    names: list[str]
    text: str
    args: list[_Argument]
    trace: str | None
    causes: list[_Record] | None

    def render(self, bounds: _Bounds | None) -> dict[str, object]:
        limit = bounds.text if bounds else None
        names, args, causes = self.names, self.args, self.causes
        if bounds:
            names = names[: bounds.names] + names[bounds.names :][-1:]
            args = args[: bounds.args]
            causes = causes[: bounds.causes] if causes else causes
        trace = None if self.trace is None else _fit(self.trace, limit)
        record: dict[str, object] = {
            "exc_type_names": [dump_text(_fit(name, limit)) for name in names],
            "exception_str": dump_text(_fit(self.text, limit)),
            "exc_args": [arg.render(limit) for arg in args],
            "traceback_str": None if trace is None else dump_text(trace),
            "version": Failure.DICT_VERSION,
        }
        if causes is not None:
            record["causes"] = [cause.render(bounds) for cause in causes]
        return record


def dump_failure(failure: Failure, dump_value: DumpValue, max_bytes: int) -> bytes:
    """Encode a failure, cut to ``max_bytes`` (or 4 KiB) where it would be longer."""
    record = _Reader(dump_value).read(failure, 0)
    limit = max(max_bytes, FLOOR)
    data = orjson.dumps(record.render(None))
    for bounds in _STEPS:
        if len(data) <= limit:
            break
        data = orjson.dumps(record.render(bounds))
    return data


class _Reader:
    """Takes a failure and its causes apart; nothing they contain makes it raise."""

    def __init__(self, dump_value: DumpValue) -> None:
        self._dump_value = dump_value
        self._left = _MAX_RECORDS

    def read(self, failure: Failure, nesting: int) -> _Record:
        record = self._read_one(failure, nesting)
        seen = {id(failure.exception)}
        record.causes = self._read_causes(_causes_of(failure), seen, nesting + 1)
        return record

    def _read_one(self, failure: Failure, nesting: int) -> _Record:
        self._left -= 1
        trace = failure.traceback_str
        extra = _extras(failure.exception)
        return _Record(
            names=[_plain(name) for name in failure],
            text=_plain(failure.exception_str),
            args=[self._argument(arg, nesting) for arg in failure.exception_args],
            trace=None if trace is None and not extra else _plain(trace or "") + extra,
            causes=None,
        )

    def _read_causes(
        self, causes: tuple[Failure, ...], seen: set[int], nesting: int
    ) -> list[_Record]:
        records: list[_Record] = []
        cut_short = len(causes) == MAX_CAUSES
        for number, cause in enumerate(causes, 1):
            if self._left <= 0:
                break
            record = self._read_one(cause, nesting)
            records.append(record)
            seen.add(id(cause.exception))
            if not _is_followed(cause, causes[number:], seen, cut_short=cut_short):
                own = _causes_of(cause) if nesting < _MAX_NESTING else ()
                record.causes = self._read_causes(own, seen, nesting + 1)
        return records

    def _argument(self, value: object, nesting: int) -> _Argument:
        def encode() -> _Argument:
            try:
                return _Argument(value, self._dump_value(value, nesting + 1), "")
            except Refusal as refusal:
                if not refusal.too_large:
                    raise
                return _Argument(value, None, _outline(value))

        return attempt(encode, lambda: _Argument(value, None, describe(value)))


def _causes_of(failure: Failure) -> tuple[Failure, ...]:
    causes = attempt(
        lambda: failure.causes or (),
        lambda: tuple(map(failure_from, _chain(failure.exception))),
    )
    return tuple(cause for cause in causes if isinstance(cause, Failure))[:MAX_CAUSES]


def _is_followed(
    cause: Failure, rest: tuple[Failure, ...], seen: set[int], *, cut_short: bool
) -> bool:
    """Tell whether the causes of a cause are those that follow it in the list."""
    own: Sequence[object]
    if cause.exception is None:
        own, after = _causes_of(cause), list(rest)
    else:
        own = [error for error in _chain(cause.exception) if id(error) not in seen]
        after = [one.exception for one in rest]
        own = own[: len(after)] if cut_short else own
    return len(own) == len(after) and all(map(operator.is_, own, after))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Walk the causes of an exception in TaskFlow's order, each once, to a bound."""
    seen = {id(error)}
    while error is not None and len(seen) <= MAX_CAUSES:
        linked = [error.__cause__]
        if not error.__suppress_context__:
            linked.append(error.__context__)
        error = next((e for e in linked if e is not None and id(e) not in seen), None)
        if error is not None:
            seen.add(id(error))
            yield error


def failure_from(error: BaseException) -> Failure:
    """Make the failure of an exception, of those too with which TaskFlow's raises.

    They are those that are no ``Exception``, and those whose ``str()`` raises.
    """
    info = (type(error), error, error.__traceback__)
    return attempt(
        lambda: _make(exc_info=info),
        lambda: _make(
            exc_info=info,
            exc_type_names=[name_of(cls) for cls in type(error).__mro__[:-1]],
            exception_str=_text_of(error),
            exc_args=tuple(error.args),
            traceback_str="".join(traceback.format_tb(error.__traceback__)),
        ),
    )


def _text_of(error: BaseException) -> str:
    return attempt(
        lambda: str(error), lambda: f"<{name_of(type(error))} whose str() failed>"
    )


def _extras(error: BaseException | None) -> str:
    """Format what a Failure has no field for: notes, and members of a group."""
    return attempt(
        lambda: "".join(_extra_parts(error)),
        lambda: f"<{name_of(type(error))} whose notes cannot be read>",
    )


def _extra_parts(error: BaseException | None) -> Iterator[str]:
    notes = getattr(error, "__notes__", ())
    for note in notes if isinstance(notes, list | tuple) else (notes,):
        yield f"Note: {_plain(note)}\n"
    if isinstance(error, BaseExceptionGroup):
        count = len(error.exceptions)
        for number, member in enumerate(error.exceptions[:_MAX_MEMBERS], 1):
            yield f"Member {number} of {count}:\n"
            yield textwrap.indent(_format(member), "    ")


def _format(error: BaseException) -> str:
    return attempt(
        lambda: "".join(traceback.format_exception(error)),
        lambda: f"{name_of(type(error))}: {_text_of(error)}\n",
    )


def _outline(value: object) -> str:
    """Describe a value that may be huge without writing all of it."""
    return attempt(lambda: reprlib.repr(value), lambda: describe(value))


def _plain(text: object) -> str:
    return "".join((text,)) if isinstance(text, str) else describe(text)


def _fit(text: str, limit: int | None) -> str:
    return text if limit is None else cut(text, limit)


def load_failure(record: object, load_value: LoadValue, nesting: int = 0) -> Failure:
    """Rebuild a failure from its record.

    Raises:
        ValueError: not such a record.
    """
    if type(record) is not dict:
        raise ValueError("a failure is needed")
    causes = _load_causes(record.get("causes", []), load_value, nesting + 1)
    return _load_one(record, causes, load_value, nesting)


def _load_causes(
    records: object, load_value: LoadValue, nesting: int
) -> tuple[Failure, ...]:
    if type(records) is not list or len(records) > MAX_CAUSES:
        raise ValueError(f"at most {MAX_CAUSES} causes in a list are needed")
    if nesting > _MAX_NESTING + 1:
        raise ValueError("causes nested too deeply")
    causes: tuple[Failure, ...] = ()
    for record in reversed(records):
        if type(record) is not dict:
            raise ValueError("a failure is needed as a cause")
        own = causes
        if "causes" in record:
            own = _load_causes(record["causes"], load_value, nesting + 1)
        causes = (_load_one(record, own, load_value, nesting), *causes)
    return causes


def _load_one(
    record: dict[str, Any],
    causes: tuple[Failure, ...],
    load_value: LoadValue,
    nesting: int,
) -> Failure:
    names, args = record["exc_type_names"], record["exc_args"]
    trace = record["traceback_str"]
    if record["version"] != Failure.DICT_VERSION:
        raise ValueError("a failure of another version")
    if type(names) is not list or type(args) is not list:
        raise ValueError("a failure with names or arguments that are no list")
    return _make(
        exc_type_names=tuple(map(load_text, names)),
        exception_str=load_text(record["exception_str"]),
        exc_args=tuple([load_value(arg, nesting + 1) for arg in args]),
        traceback_str=None if trace is None else load_text(trace),
        causes=causes,
    )
