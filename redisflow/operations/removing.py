"""Removing runs, one by one or by their age, with all that belongs to them.

A removal is made of bounded calls; the flow's own hash goes first, so that nobody can
use what is left, and a removal that was cut short goes on when it is asked for again:
by name, or by the next collection, which finds it through the index of flows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from redisflow.engine.submissions import GRACE_MS
from redisflow.errors import InvalidState
from redisflow.keys import book_uuid_of
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run, run_many
from redisflow.persistence.removal import (
    leave_book,
    remove_flow,
    strays_of,
)

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Garbage:
    """What a collection has removed beside runs.

    Attributes:
        flows: entries of the index of flows whose flow was gone, with what was left.
        books: logbooks of single runs that are gone.
        atoms: entries of the index of atoms.
    """

    flows: int = 0
    books: int = 0
    atoms: int = 0


def check_removal(backend: RedisBackend, flow_uuid: str) -> None:
    """Look whether a flow can be removed, if it is there.

    Raises:
        InvalidState: workers are at work.
    """
    now_ms = backend.client.now_ms()
    key = backend.keys.of_flow(flow_uuid).workers
    if live := run(backend.client, "ZCOUNT", key, now_ms, "(inf"):
        raise _at_work(flow_uuid, live)


def _at_work(flow_uuid: str, live: int) -> InvalidState:
    return InvalidState(
        f"{live} worker(s) are at work on flow {flow_uuid}: cancel or suspend it first"
    )


def remove_run(backend: RedisBackend, flow_uuid: str, *, seen: int = 0) -> bool:
    """Remove a flow that nobody works on, and its logbook if redisflow made that.

    Args:
        backend: where it is.
        flow_uuid: its uuid.
        seen: the revision at which it was chosen; 0: it was named.

    Returns:
        Whether the flow was still there; what was left of one that was named is gone
        in any case.

    Raises:
        InvalidState: workers are at work, or it has changed since it was chosen;
            nothing was removed.
        Locked: others held its lock until the deadline.
    """
    keys = backend.keys.of_flow(flow_uuid)
    client = backend.client
    book = run(client, "HGET", keys.flow, "book")
    live = remove_flow(backend, flow_uuid, only="idle", seen=seen)
    if live is not None:
        raise _at_work(flow_uuid, live)
    if book is not None:
        leave_book(backend, book.decode(), flow_uuid)
        return True
    if not seen:  # somebody has named it: whatever is left of it is looked for
        strays = strays_of(backend, flow_uuid)
        remove_flow(backend, flow_uuid, only="gone", strays=strays)
    return False


def collect_garbage(backend: RedisBackend, *, look_only: bool = False) -> Garbage:
    """Remove what gone flows have left: index entries, logbooks, records, hints.

    What came into an index less than a minute ago is left alone: the index is written
    first, and the flow may be on its way. Flows go without a word when their retention
    is over; what has no expiry of its own, or was left by a removal that was cut short,
    goes here. Flows that are there are not touched.

    Args:
        backend: where to.
        look_only: count what would be removed, and remove nothing.
    """
    flows = 0
    for page in _settled(backend, backend.keys.flows):
        for uuid in _gone(backend, page):
            gone = look_only or remove_flow(backend, uuid, only="gone") is None
            flows += gone
    found = Garbage(
        flows=flows,
        books=_collect_books(backend, look_only=look_only),
        atoms=_collect_atoms(backend, look_only=look_only),
    )
    if not look_only:
        now_ms = backend.client.now_ms()
        command = ("ZREMRANGEBYSCORE", backend.keys.servers, "-inf", now_ms)
        run(backend.client, *command)
    return found


def _settled(backend: RedisBackend, index: str) -> list[list[str]]:
    """Give the entries of an index that are older than a minute, in pages."""
    before_ms = backend.client.now_ms() - GRACE_MS
    pages: list[list[str]] = []
    while True:
        words = (index, "-inf", before_ms, "LIMIT", len(pages) * _PAGE, _PAGE)
        found = run(backend.client, "ZRANGEBYSCORE", *words)
        pages.append([uuid.decode() for uuid in found])
        if len(found) < _PAGE:
            return pages


def _gone(backend: RedisBackend, uuids: Sequence[str]) -> list[str]:
    """Choose the flows that are not there."""
    keys = [backend.keys.of_flow(uuid).flow for uuid in uuids]
    there = run_many(backend.client, [("EXISTS", key) for key in keys])
    return [uuid for uuid, exists in zip(uuids, there, strict=True) if not exists]


def _collect_atoms(backend: RedisBackend, *, look_only: bool) -> int:
    """Remove the entries of the index of atoms whose flows are gone."""
    client, key = backend.client, backend.keys.atom_index
    removed = 0
    cursor: int | None = None
    while cursor != 0:
        cursor, rows = run(client, "HSCAN", key, cursor or 0, "COUNT", _PAGE)
        gone = set(_gone(backend, sorted({flow.decode() for flow in rows.values()})))
        atoms = [atom for atom, flow in rows.items() if flow.decode() in gone]
        if look_only or not atoms:
            removed += len(atoms)
        else:
            removed += run(client, "HDEL", key, *atoms)
    return removed


def _collect_books(backend: RedisBackend, *, look_only: bool) -> int:
    """Take gone flows out of their logbooks; those that were theirs alone go.

    Returns:
        How many logbooks are gone, or would be.
    """
    client, keys = backend.client, backend.keys
    removed = 0
    for page in _settled(backend, keys.books):
        fields = run_many(client, [("HKEYS", keys.book(uuid)) for uuid in page])
        for uuid, names in zip(page, fields, strict=True):
            flows = [name[5:].decode() for name in names if name.startswith(b"flow:")]
            gone = _gone(backend, flows)
            alone = all(not name.startswith(b"meta:") for name in names)
            if len(gone) == len(flows) and uuid in map(book_uuid_of, gone):
                removed += alone
            if look_only:
                continue
            if not names:
                run(client, "ZREM", keys.books, uuid)
            for flow in gone:
                leave_book(backend, uuid, flow)
    return removed
