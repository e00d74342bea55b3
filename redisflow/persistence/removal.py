"""Removing flows, logbooks, and all of a namespace, in bounded calls.

A flow's own hash goes first, so that everybody who still uses the flow is told that it
is gone; what names the rest (the atoms of a flow, the flows of a logbook) goes last, so
that a removal that was cut short goes on where it was when it is asked for again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from redisflow.errors import FlowLost, InvalidState
from redisflow.keys import book_uuid_of
from redisflow.persistence.commands import Command, check_types, run, run_many
from redisflow.persistence.reading import BATCH, NOTHING_SINCE
from redisflow.scripts import catalogue

_RECORD = re.compile(r":(?:atom|result):(.+)$", re.DOTALL)

if TYPE_CHECKING:
    from redisflow.persistence.backend import RedisBackend


def remove_flow(
    backend: RedisBackend,
    flow_uuid: str,
    *,
    only: Literal["", "idle", "gone"] = "",
    seen: int = 0,
    strays: Sequence[str] = (),
) -> int | None:
    """Remove a flow with its atoms; workers and storages that use it get FlowLost.

    Args:
        backend: where it is.
        flow_uuid: its uuid.
        only: "idle": not while workers are at work; "gone": only what is left of a flow
            that is not there any more.
        seen: only if the flow's revision is still this one; 0: whatever it is.
        strays: uuids of atoms whose records are left, though nothing leads to them.

    Returns:
        None; or, if it was kept, how many workers are at work.

    Raises:
        InvalidState: its revision is not the one that was seen.
        Locked: others held its lock until the deadline.
        CorruptKey: one of its keys is of another type.
    """
    keys = backend.keys
    scripts = backend.scripts_of(flow_uuid)
    status, lost = "MORE", False
    while status == "MORE" or strays:
        batch, strays = strays[:BATCH], strays[BATCH:]
        reply = scripts.call(
            "flow_remove", rest=batch, limit=BATCH, only=only, seen=seen
        )
        if reply.status == "KEPT":
            return int(reply.fields[0])
        if reply.status == "MOVED":
            raise InvalidState(f"flow {flow_uuid} has changed meanwhile: it was kept")
        status, (uuids, damaged) = reply.status, reply.fields
        lost = lost or bool(damaged)
        if uuids:
            run_many(backend.client, [("HDEL", keys.atom_index, *uuids)])
    _leave_indexes(backend, flow_uuid)
    if lost and (strays := strays_of(backend, flow_uuid)):
        return remove_flow(backend, flow_uuid, only="gone", strays=strays)
    return None


def left_of(backend: RedisBackend, flow_uuid: str) -> list[str]:
    """Name all keys of a flow, known to it or not; looks at every key of the server."""
    prefix = backend.keys.of_flow(flow_uuid).flow.removesuffix("flow")
    found = backend.client.scan(f"{prefix}*")
    return sorted({key.decode() for key in found})


def strays_of(backend: RedisBackend, flow_uuid: str) -> list[str]:
    """Give the uuids of all atoms of which there are records."""
    records = (_RECORD.search(key) for key in left_of(backend, flow_uuid))
    return sorted({found[1] for found in records if found})


def leave_book(backend: RedisBackend, book_uuid: str, flow_uuid: str) -> None:
    """Take a removed flow out of its logbook; one that was made for it alone goes.

    One command each way, and a look at the flow at the end: whoever makes the flow
    anew meanwhile looks at the logbook at their end.
    """
    keys, client = backend.keys, backend.client
    key, entry = keys.book(book_uuid), f"flow:{flow_uuid}"
    fields, there = [entry], {}
    if book_uuid == book_uuid_of(flow_uuid):
        there = run(client, "HGETALL", key)
        others = [name for name in there if name.startswith((b"flow:", b"meta:"))]
        if others in ([], [entry.encode()]):
            fields += [name.decode() for name in there if name != entry.encode()]
    left = run_many(client, [("HDEL", key, *fields), ("EXISTS", key)])[1]
    if not left:
        run_many(client, [("ZREM", keys.books, book_uuid)])
    flow = keys.of_flow(flow_uuid).flow
    name, made = run(client, "HMGET", flow, "name", "created_at")
    if name is not None:
        words = [word for pair in {**there, entry: name}.items() for word in pair]
        run_many(
            client,
            [("HSET", key, *words), ("ZADD", keys.books, "NX", made or 0, book_uuid)],
        )


def _leave_indexes(backend: RedisBackend, flow_uuid: str) -> None:
    """Take a flow out of the indexes, unless it was made again meanwhile."""
    keys, client = backend.keys, backend.client
    indexes = (keys.flows, keys.submitted)
    run_many(client, [("ZREM", index, flow_uuid) for index in indexes])
    flow = keys.of_flow(flow_uuid).flow
    made, submitted, ended = run(
        client, "HMGET", flow, "created_at", "submitted", "ended"
    )
    if made is not None:
        run_many(client, [("ZADD", keys.flows, "NX", made, flow_uuid)])
    if submitted is not None and int(submitted) > int(ended):
        run_many(client, [("ZADD", keys.submitted, "NX", made, flow_uuid)])


def check_flow(backend: RedisBackend, flow_uuid: str) -> None:
    """Look for what would stand in the way of removing a flow, or what is left of it.

    Raises:
        CorruptKey: one of its keys is of another type.
        SchemaTooNew: a newer version wrote it.
    """
    keys = backend.keys.of_flow(flow_uuid)
    declared = catalogue()["flow_remove"].keys
    check_types(backend.client, {getattr(keys, name): kind for name, kind in declared})
    with suppress(FlowLost):
        backend.scripts_of(flow_uuid).call("flow_sync", since=NOTHING_SINCE, limit=1)
    uuids = run(backend.client, "ZRANGEBYSCORE", keys.changes, "(0", "+inf")
    for start in range(0, len(uuids), BATCH):
        batch = [uuid.decode() for uuid in uuids[start : start + BATCH]]
        records = [key(uuid) for uuid in batch for key in (keys.atom, keys.result)]
        check_types(backend.client, dict.fromkeys(records, "hash"))


def clear_namespace(backend: RedisBackend) -> None:
    """Remove all that is in the namespace: flows, logbooks, indexes, hints.

    Locks that belong to no flow are no entries, and stay.
    """
    keys, space = backend.keys, re.escape(backend.keys.namespace)
    of_flow = re.compile(rf"{space}:\{{(?!lock:)[^{{}}]+\}}:.+".encode(), re.DOTALL)
    whole_flow = re.compile(
        rf"{space}:\{{(?!lock:)[^{{}}]+\}}:flow".encode(), re.DOTALL
    )
    books = run(backend.client, "ZRANGE", keys.books, 0, -1)
    # Flows first: without them nobody can write what the second pass removes.
    for pattern in (whole_flow, of_flow):
        for batch in _found(backend, pattern):
            _unlink(backend, batch)
    for start in range(0, len(books), BATCH):
        batch = books[start : start + BATCH]
        _unlink(backend, [keys.book(uuid.decode()).encode() for uuid in batch])
    indexes = (keys.atom_index, keys.flows, keys.submitted, keys.servers, keys.books)
    _unlink(backend, [key.encode() for key in indexes])
    _clear_hints(backend)


def _clear_hints(backend: RedisBackend) -> None:
    """Remove the lists of hints; one named ``…:wake`` has its own there."""
    prefix = re.escape(backend.keys.wake("")).encode()
    pattern = re.compile(prefix + rb"(?!wake:).+", re.DOTALL)
    for batch in _found(backend, pattern):
        types = run_many(backend.client, [("TYPE", key.decode()) for key in batch])
        lists = [key for key, kind in zip(batch, types, strict=True) if kind == b"list"]
        _unlink(backend, lists)


def _found(backend: RedisBackend, pattern: re.Pattern[bytes]) -> Iterator[list[bytes]]:
    """Give the keys of the namespace that match, in batches."""
    batch: list[bytes] = []
    for key in backend.client.scan(f"{backend.keys.namespace}:*"):
        if pattern.fullmatch(key):
            batch.append(key)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _unlink(backend: RedisBackend, keys: Sequence[bytes]) -> None:
    """Unlink keys of any slots."""
    commands: list[Command] = [("UNLINK", key) for key in keys]
    run_many(backend.client, commands)
