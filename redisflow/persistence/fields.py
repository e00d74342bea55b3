"""Details as the fields of hashes, and what of them has changed since they were seen.

TaskFlow hands over whole details, and means what it has changed in them; in between,
others may have changed the same records. So a detail that was read or written
remembers, in one attribute that its copies share, what it then said (`Seen`), and only
what it says otherwise now is written: an entry of metadata, a state, a result. What it
no longer has is removed; what others have added in the meantime stays.

A detail that was never seen here is taken as changes of an empty one: what it leaves
at None, or empty, says nothing. An atom's state or a flow's cannot be set back to None.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskflow import states
from taskflow.persistence import models
from taskflow.types.failure import Failure

from redisflow.arguments import INJECTOR
from redisflow.codec import Codec
from redisflow.errors import ValueRefused
from redisflow.persistence.names import (
    ATOM_STATES,
    FLOW_STATES,
    INTENTIONS,
    as_name,
    as_state,
)
from redisflow.persistence.records import META_INJECTED, entry_field, version_text
from redisflow.scripts import Argument

_SEEN = "_redisflow_seen"
_SHORT = 32

Fields = Mapping[str, bytes]
Detail = models.AtomDetail | models.FlowDetail | models.LogBook


@dataclass(slots=True)
class Seen:
    """What a detail said when it was last read or written.

    Attributes:
        origin: the namespace of a server.
        flow_uuid: the flow that it belongs to; of a logbook "".
        rev: the revision of an atom then.
        whole: False for a flow that was read without its atoms.
        record: its fields, long values as digests.
        results: the fields of its results, likewise.
    """

    origin: str
    flow_uuid: str
    rev: int = 0
    whole: bool = True
    record: dict[str, bytes] = field(default_factory=dict)
    results: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a detail says.

    Attributes:
        record: the fields of its record: state, intention, version, metadata ...
        results: the fields of its results.
    """

    record: Fields
    results: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What of a sheet is to be written: fields to set, and names of those to remove."""

    sets: Fields
    drops: list[str]

    def __bool__(self) -> bool:
        return bool(self.sets or self.drops)

    def words(self) -> Iterator[Argument]:
        """Give it as scripts take it: two lists, each with its length before it."""
        yield 2 * len(self.sets)
        for name, value in self.sets.items():
            yield from (name, value)
        yield len(self.drops)
        yield from self.drops


def seen_of(detail: Detail, origin: str) -> Seen | None:
    """Return what a detail said when it was last seen there; None if it never was."""
    seen: Seen | None = vars(detail).get(_SEEN)
    return seen if seen is not None and seen.origin == origin else None


def note_seen(detail: Detail, seen: Seen, sheet: Sheet) -> None:
    """Remember, for a detail and all its copies, that this is what it says."""
    known = seen_of(detail, seen.origin)
    if known is None:
        known = seen
        setattr(detail, _SEEN, seen)
    known.flow_uuid, known.rev, known.whole = seen.flow_uuid, seen.rev, seen.whole
    known.record = _digests(sheet.record)
    known.results = _digests(sheet.results)


def changed(now: Fields, before: Fields) -> Change:
    """Tell what of the fields is not as it was seen."""
    sets = {
        name: value for name, value in now.items() if before.get(name) != _digest(value)
    }
    return Change(sets, [name for name in before if name not in now])


def sheet_of_book(book: models.LogBook, codec: Codec) -> Sheet:
    """Encode the metadata of a logbook.

    Raises:
        ValueRefused: an entry cannot be stored.
    """
    return Sheet(dict(_meta(book.meta, codec)))


def sheet_of_flow(detail: models.FlowDetail, codec: Codec) -> Sheet:
    """Encode the state and the metadata of a flow.

    Raises:
        ValueRefused: an entry cannot be stored.
        InvalidState: TaskFlow has no such state.
    """
    record = dict(_meta(detail.meta, codec))
    if detail.state:
        as_state(detail.state, FLOW_STATES, f"the flow {detail.name!r}")
        record["state"] = detail.state.encode()
    return Sheet(record)


def sheet_of_atom(detail: models.AtomDetail, codec: Codec) -> Sheet:
    """Encode all that the details of an atom say.

    Raises:
        ValueRefused: a value cannot be stored.
        InvalidState: TaskFlow has no such state, or intention.
    """
    record = dict(_atom_meta(detail.meta, codec))
    what = f"the atom {detail.name!r}"
    if detail.state:
        record["state"] = as_state(detail.state, ATOM_STATES, what).encode()
    if detail.intention:
        record["intention"] = as_state(detail.intention, INTENTIONS, what).encode()
    if version := version_text(detail.version):
        record["version"] = as_name(version).encode()
    if isinstance(detail, models.RetryDetail) and detail.results:
        record["entries"] = str(len(detail.results)).encode()
    return Sheet(record, dict(_results(detail, codec)))


#: What a detail says that nobody has given anything.
EMPTY = Sheet({"intention": states.EXECUTE.encode()})


def type_of(detail: models.AtomDetail) -> str:
    """Return ``task`` or ``retry``.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(detail, models.TaskDetail):
        return "task"
    if isinstance(detail, models.RetryDetail):
        return "retry"
    raise TypeError(f"details of a task or a retry are wanted, not {detail!r}")


def _meta(meta: Mapping[Any, Any], codec: Codec) -> Iterator[tuple[str, bytes]]:
    for name, value in meta.items():
        yield f"meta:{as_name(name)}", codec.encode(value, name=name)


def _atom_meta(meta: Mapping[Any, Any], codec: Codec) -> Iterator[tuple[str, bytes]]:
    """Encode metadata; injected values one by one, as a storage keeps them."""
    injected = meta.get(META_INJECTED)
    if isinstance(injected, dict) and _all_text(injected):
        meta = {name: value for name, value in meta.items() if name != META_INJECTED}
        for name, value in injected.items():
            yield f"injected:{as_name(name)}", codec.encode(value, name=name)
    yield from _meta(meta, codec)


def _results(detail: models.AtomDetail, codec: Codec) -> Iterator[tuple[str, bytes]]:
    if isinstance(detail, models.RetryDetail):
        yield from _history(detail, codec)
    elif (
        detail.name == INJECTOR
        and isinstance(detail.results, dict)
        and _all_text(detail.results)
    ):
        for name, value in detail.results.items():
            yield f"value:{as_name(name)}", codec.encode(value, name=name)
    elif detail.results is not None or detail.state == states.SUCCESS:
        yield "results", codec.encode(detail.results, name=detail.name)
    if detail.revert_results is not None or detail.state == states.REVERTED:
        yield "revert_results", codec.encode(detail.revert_results, name=detail.name)
    for name in ("failure", "revert_failure"):
        if (failure := getattr(detail, name)) is not None:
            yield name, _failure(failure, codec, f"{detail.name}.{name}")


def _history(detail: models.RetryDetail, codec: Codec) -> Iterator[tuple[str, bytes]]:
    for number, (value, failures) in enumerate(detail.results or (), 1):
        yield entry_field(number), codec.encode(value, name=detail.name)
        for failed, failure in failures.items():
            place = entry_field(number, as_name(failed))
            yield place, _failure(failure, codec, f"{detail.name}.{place}")


def _failure(failure: object, codec: Codec, name: str) -> bytes:
    if not isinstance(failure, Failure):
        kind = type(failure).__name__
        message = f"{name} is not a Failure but {kind}"
        raise ValueRefused(message, path="$", type_name=kind)
    return codec.encode_failure(failure)


def _all_text(names: Iterable[object]) -> bool:
    return all(isinstance(name, str) for name in names)


def _digests(fields: Fields) -> dict[str, bytes]:
    return {name: _digest(value) for name, value in fields.items()}


def _digest(value: bytes) -> bytes:
    """Return what stands for a value in memory: itself if it is short."""
    if len(value) <= _SHORT:
        return value
    return b"#" + hashlib.blake2b(value, digest_size=32).digest()
