"""Logbooks: a hash each, which names its flows, and an index of them all.

A logbook lies in no flow's slot, so it is written by plain commands, field by field:
whoever adds a flow or an entry of metadata overwrites nothing else.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from taskflow.persistence import models

from redisflow.errors import CorruptKey
from redisflow.persistence.commands import Command, run, run_many
from redisflow.persistence.fields import (
    Change,
    Seen,
    Sheet,
    changed,
    note_seen,
    seen_of,
    sheet_of_book,
)
from redisflow.persistence.names import as_name, as_uuid
from redisflow.scripts import Argument

if TYPE_CHECKING:
    from redisflow.persistence.backend import RedisBackend

#: Words that one command carries.
_WORDS = 2000

_FLOW = "flow:"


@dataclass(frozen=True, slots=True)
class StoredBook:
    """The hash of a logbook.

    Attributes:
        name: of the logbook.
        meta: metadata, decoded.
        created_at: when it was made, or None.
        updated_at: when it was changed last, or None.
        flows: uuids of its flows, in the order in which they were added.
    """

    name: str
    meta: dict[str, Any]
    created_at: Any
    updated_at: Any
    flows: list[str]


@dataclass(frozen=True, slots=True)
class BookPlan:
    """A logbook, and what it says, encoded."""

    book: models.LogBook
    sheet: Sheet


class Shelf:
    """The logbooks of a backend.

    Args:
        backend: where they are kept.
    """

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._client = backend.client
        self._keys = backend.keys

    def plan(self, book: models.LogBook) -> BookPlan:
        """Encode a logbook; sends nothing.

        Raises:
            ValueRefused: something of it cannot be stored.
        """
        as_name(book.name)
        as_uuid(book.uuid)
        sheet = sheet_of_book(book, self._backend.codec)
        return BookPlan(book, sheet)

    def look(self, uuid: str) -> tuple[StoredBook | None, int]:
        """Read a logbook if there is one, and the server's clock in ms.

        Raises:
            CorruptKey: it, or one of the indexes, is not what it should be.
        """
        keys = self._keys
        found, time, *_ = run_many(
            self._client,
            [
                ("HGETALL", keys.book(uuid)),
                ("TIME",),
                ("ZCARD", keys.books),
                ("ZCARD", keys.flows),
                ("HLEN", keys.atom_index),
            ],
        )
        now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
        return (self._parse(uuid, found) if found else None), now_ms

    def read(self, uuid: str) -> StoredBook | None:
        """Read a logbook, if there is one."""
        found = run(self._client, "HGETALL", self._keys.book(uuid))
        return self._parse(uuid, found) if found else None

    def uuids(self) -> Iterator[str]:
        """Give the uuids of all logbooks, oldest first; some may be gone."""
        for uuid in run(self._client, "ZRANGE", self._keys.books, 0, -1):
            yield _text(uuid, self._keys.books)

    def write(self, plan: BookPlan, stored: StoredBook | None, now_ms: int) -> None:
        """Write what is new in a logbook, its flows' names included."""
        key = self._keys.book(plan.book.uuid)
        seen = seen_of(plan.book, self._backend.origin)
        before = seen.record if stored is not None and seen is not None else {}
        change = changed(plan.sheet.record, before)
        words = [*_moments(plan.book, stored), *_new_flows(plan.book, stored)]
        if stored is None:
            words += ["uuid", plan.book.uuid, "name", plan.book.name]
        for name, value in change.sets.items():
            words += [name, value]
        commands: list[Command] = [
            ("ZADD", self._keys.books, "NX", now_ms, plan.book.uuid)
        ]
        commands += [
            ("HSET", key, *words[start : start + _WORDS])
            for start in range(0, len(words), _WORDS)
        ]
        if change.drops:
            commands.append(("HDEL", key, *change.drops))
        run_many(self._client, commands)
        self._merge(plan, stored, change)

    def confirm(self, book: models.LogBook, flows: Sequence[models.FlowDetail]) -> None:
        """Enter flows once more that were new, and that a removal has taken out.

        What removes a flow takes it out of its logbook at the end, when one of the
        same uuid may have been made.
        """
        key = self._keys.book(book.uuid)
        entries = {_FLOW + flow.uuid: str(flow.name) for flow in flows}
        names = ["name", *entries]
        if not entries or None not in run(self._client, "HMGET", key, *names):
            return
        words = ["uuid", book.uuid, "name", book.name]
        words += [word for pair in entries.items() for word in pair]
        run_many(self._client, [("HSET", key, *words)])

    def forget(self, uuid: str) -> None:
        """Remove a logbook whose flows are gone."""
        run_many(
            self._client,
            [("DEL", self._keys.book(uuid)), ("ZREM", self._keys.books, uuid)],
        )

    def make(self, uuid: str, stored: StoredBook) -> models.LogBook:
        """Make TaskFlow's logbook, still without flows."""
        book = models.LogBook(stored.name, uuid=uuid)
        book.meta = dict(stored.meta)
        book.created_at = stored.created_at
        book.updated_at = stored.updated_at
        self._note(book, sheet_of_book(book, self._backend.codec))
        return book

    def _merge(self, plan: BookPlan, stored: StoredBook | None, change: Change) -> None:
        """Show in a logbook what others have put into its metadata."""
        book = plan.book
        if stored is None:
            self._note(book, plan.sheet)
            return
        merged = {
            name: value
            for name, value in stored.meta.items()
            if f"meta:{name}" not in change.drops
        }
        merged.update(
            (name, book.meta[name])
            for name in (entry.removeprefix("meta:") for entry in change.sets)
        )
        book.meta = merged
        book.created_at = stored.created_at or book.created_at
        self._note(book, sheet_of_book(book, self._backend.codec))

    def _note(self, book: models.LogBook, sheet: Sheet) -> None:
        note_seen(book, Seen(self._backend.origin, ""), sheet)

    def _parse(self, uuid: str, found: dict[bytes, bytes]) -> StoredBook:
        key = self._keys.book(uuid)
        fields: dict[str, bytes] = {}
        for name, value in found.items():
            fields[_text(name, key)] = value
        try:
            return StoredBook(
                fields["name"].decode(),
                {
                    name[5:]: self._backend.codec.decode(value, key=key)
                    for name, value in fields.items()
                    if name.startswith("meta:")
                },
                _time(fields.get("created_at")),
                _time(fields.get("updated_at")),
                [name[len(_FLOW) :] for name in fields if name.startswith(_FLOW)],
            )
        except (KeyError, ValueError) as error:
            message = f"key {key} is not a logbook that redisflow wrote: {error!r}"
            raise CorruptKey(message, key=key) from error


def _moments(book: models.LogBook, stored: StoredBook | None) -> Iterator[Argument]:
    """Give the times to write: the one of the creation stays the first."""
    if stored is None and book.created_at is not None:
        yield from ("created_at", book.created_at.isoformat())
    if book.updated_at is not None:
        yield from ("updated_at", book.updated_at.isoformat())


def _new_flows(book: models.LogBook, stored: StoredBook | None) -> Iterator[Argument]:
    known = set(stored.flows if stored else ())
    for flow_detail in book:
        if flow_detail.uuid not in known:
            yield from (_FLOW + flow_detail.uuid, flow_detail.name)


def _text(data: bytes, key: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = f"key {key} has a name that redisflow did not write: {data!r}"
        raise CorruptKey(message, key=key) from error


def _time(text: bytes | None) -> Any:  # TaskFlow's attributes have no type
    return datetime.datetime.fromisoformat(text.decode()) if text else None
