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
from redisflow.persistence.commands import Command, check_types, run, run_many
from redisflow.persistence.reading import BATCH, NOTHING_SINCE
from redisflow.scripts import catalogue

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
    status = "MORE"
    while status == "MORE" or strays:
        batch, strays = strays[:BATCH], strays[BATCH:]
        reply = scripts.call(
            "flow_remove", rest=batch, limit=BATCH, only=only, seen=seen
        )
        if reply.status == "KEPT":
            return int(reply.fields[0])
        if reply.status == "MOVED":
            raise InvalidState(f"flow {flow_uuid} has changed meanwhile: it was kept")
        status, (uuids,) = reply.status, reply.fields
        if uuids:
            run_many(backend.client, [("HDEL", keys.atom_index, *uuids)])
    _leave_indexes(backend, flow_uuid)
    return None


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
