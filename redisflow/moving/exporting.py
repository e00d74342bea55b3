"""Writing a whole run into a file, as it was at one moment.

There is no reading of a large flow at one moment without holding up everybody else. So
what changes with every change of a flow is read before and after the rest, and where it
is not the same the file is begun again; a flow that never stands still is refused.

What is read at once is bounded: a page of records, and of their results pieces of about
a megabyte. Names of atoms and numbers of nodes are all in memory.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from redisflow.errors import CorruptKey, FlowLost, InvalidState, SchemaTooNew
from redisflow.keys import SCHEMA, FlowKeys, flow_uuid_of
from redisflow.moving.form import (
    BYTES_IN_LINE,
    FIELDS_IN_LINE,
    HEAD,
    VERSION,
    Pen,
    fields_of,
    text_of,
)
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import Command, run, run_many
from redisflow.persistence.journal import operator_id
from redisflow.persistence.records import RUN_ID_FIELD

_PAGE = 100
_TRIES = 10
_FEWEST, _MOST = 1, 512

#: Hashes that are cut into pieces, with their sentinels.
_HASHES = {"atoms": b"", "graph": b"-", "missing": b"-", "claims": b"-", "plan": b"-"}
_ZSETS = ("ready", "workers")


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        run_id: the run's name; None if it has none, or cannot be read.
        flow_uuid: of its flow.
        name: the flow's.
        state: the flow's.
        rev: its revision.
        atoms: how many atoms.
        entries: how many entries of the journal.
        size: bytes of the file.
    """

    run_id: str | None
    flow_uuid: str
    name: str
    state: str
    rev: int
    atoms: int
    entries: int
    size: int


def export_run(
    backend: RedisBackend, flow_uuid: str, stream: BinaryIO, *, run_id: str = ""
) -> Exported:
    """Write a run into a file.

    Args:
        backend: where it is.
        flow_uuid: of its flow.
        stream: an empty file that can be read from its beginning again.
        run_id: its name if it is known, for a run id that is encrypted.

    Raises:
        FlowLost: there is no such flow.
        InvalidState: it changed each time that it was read.
        CorruptKey: one of its keys is of another type.
        SchemaTooNew: a newer version wrote it.
    """
    export = _Export(backend, backend.keys.of_flow(flow_uuid), stream, run_id)
    for _ in range(_TRIES):
        before = export.moment()
        found = export.write()
        if export.moment() == before:
            return found
    raise InvalidState(
        f"flow {flow_uuid} changed each time that it was read: suspend it first"
        " (redisflow suspend), or export it when there is less to do"
    )


class _Export:
    """One flow, and the file that it is written into."""

    def __init__(
        self, backend: RedisBackend, keys: FlowKeys, stream: BinaryIO, run_id: str
    ) -> None:
        self._backend = backend
        self._client = backend.client
        self._keys = keys
        self._stream = stream
        self._run_id = run_id

    def moment(self) -> object:
        """Read what changes with every change of a flow."""
        keys = self._keys
        return run_many(
            self._client,
            [
                ("HGETALL", keys.flow),
                ("HGETALL", keys.claims),
                ("HGETALL", keys.plan),
                ("ZCARD", keys.ready),
                ("HLEN", keys.missing),
                ("HLEN", keys.graph),
                ("HLEN", keys.atoms),
                ("XREVRANGE", keys.events, "+", "-", "COUNT", 1),
            ],
        )

    def write(self) -> Exported:
        """Write all of it."""
        self._stream.seek(0)
        self._stream.truncate()
        pen = Pen(self._stream)
        flow = run(self._client, "HGETALL", self._keys.flow)
        head = self._head(flow)
        pen.write(HEAD, **head)
        pen.write("flow", fields=fields_of(flow))
        self._write_book(pen, flow.get(b"book", b"").decode())
        atoms = self._write_atoms(pen)
        for name, sentinel in _HASHES.items():
            self._write_hash(pen, name, sentinel)
        for name in _ZSETS:
            self._write_zset(pen, name)
        reached = run(self._client, "GET", self._keys.reached)
        pen.write("reached", bytes=text_of(reached or b""))
        entries = self._write_journal(pen)
        pen.end()
        self._stream.flush()
        return Exported(
            head["run_id"],
            self._keys.flow_uuid,
            *(head["name"], head["state"], head["rev"]),
            *(atoms, entries, pen.size),
        )

    def _head(self, flow: Mapping[bytes, bytes]) -> dict[str, Any]:
        keys = self._keys
        if not flow:
            raise self._lost(keys.flow)
        try:
            schema, rev = int(flow[b"schema"]), int(flow[b"rev"])
            _ = int(flow[b"epoch"]), int(flow[b"unfinished"]), int(flow[b"run"])
        except (KeyError, ValueError) as error:
            message = f"key {keys.flow} is not a flow that redisflow wrote: {error!r}"
            raise CorruptKey(message, key=keys.flow) from error
        if schema > SCHEMA:
            message = f"{keys.flow} was written by a newer redisflow"
            raise SchemaTooNew(message, key=keys.flow, schema=schema)
        seconds, microseconds = run(self._client, "TIME")
        return {
            "version": VERSION,
            "schema": schema,
            "redisflow": importlib.metadata.version("redisflow"),
            "run_id": self._name(flow),
            "flow_uuid": keys.flow_uuid,
            "name": text_of(flow[b"name"]),
            "state": flow[b"state"].decode() or "PENDING",
            "rev": rev,
            "origin": self._backend.origin,
            "exported_by": operator_id(),
            "exported_at_ms": int(seconds) * 1000 + int(microseconds) // 1000,
        }

    def _name(self, flow: Mapping[bytes, bytes]) -> str | None:
        """Tell the run id; it may be encrypted, and the key not here."""
        keys = self._keys
        if flow_uuid_of(self._run_id, keys.namespace) == keys.flow_uuid:
            return self._run_id
        stored = flow.get(RUN_ID_FIELD.encode())
        if stored is None:
            return None
        try:
            return str(self._backend.codec.decode(stored, key=keys.flow))
        except CorruptKey:
            return None

    def _write_book(self, pen: Pen, uuid: str) -> None:
        """Write the logbook, and of its flows only this one."""
        fields = run(self._client, "HGETALL", self._backend.keys.book(uuid))
        if not fields:
            return
        own = f"flow:{self._keys.flow_uuid}".encode()
        kept = {
            name: value
            for name, value in fields.items()
            if name == own or not name.startswith(b"flow:")
        }
        alone = len(kept) == len(fields) and not any(
            name.startswith(b"meta:") for name in fields
        )
        pen.write("book", uuid=uuid, own=alone, fields=fields_of(kept))

    def _write_atoms(self, pen: Pen) -> int:
        keys = self._keys
        found = run(self._client, "ZRANGEBYSCORE", keys.changes, "(0", "+inf")
        uuids = [uuid.decode() for uuid in found]
        for start in range(0, len(uuids), _PAGE):
            batch = uuids[start : start + _PAGE]
            commands: list[Command] = [
                *(("HGETALL", keys.atom(uuid)) for uuid in batch),
                *(("HKEYS", keys.result(uuid)) for uuid in batch),
                ("HMGET", self._backend.keys.atom_index, *batch),
            ]
            *replies, indexed = run_many(self._client, commands)
            records, names = replies[: len(batch)], replies[len(batch) :]
            for uuid, record, listed in zip(batch, records, indexed, strict=True):
                if not record:
                    raise self._lost(keys.atom(uuid))
                pen.write(
                    "atom",
                    uuid=uuid,
                    indexed=listed == keys.flow_uuid.encode(),
                    fields=fields_of(record),
                )
            self._write_results(pen, dict(zip(batch, names, strict=True)))
        return len(uuids)

    def _lost(self, record: str) -> FlowLost | CorruptKey:
        """Make the error for a record that is gone: its flow may be, too."""
        if run(self._client, "EXISTS", self._keys.flow):
            return CorruptKey(f"key {record} is gone", key=record)
        uuid, key = self._keys.flow_uuid, self._keys.flow
        return FlowLost(f"flow {uuid} is gone ({key})", key=key)

    def _write_results(self, pen: Pen, fields: Mapping[str, Sequence[bytes]]) -> None:
        wanted = [(uuid, name) for uuid, names in fields.items() for name in names]
        line: dict[bytes, bytes] = {}
        size, of = 0, ""
        for uuid, name, value in self._values(wanted):
            if line and (
                uuid != of or size > BYTES_IN_LINE or len(line) == FIELDS_IN_LINE
            ):
                pen.write("result", uuid=of, fields=fields_of(line))
                line, size = {}, 0
            of, line[name] = uuid, value
            size += len(value)
        if line:
            pen.write("result", uuid=of, fields=fields_of(line))

    def _values(
        self, wanted: Sequence[tuple[str, bytes]]
    ) -> Iterator[tuple[str, bytes, bytes]]:
        """Read fields of results, more or fewer at once as they are short or long."""
        start, count = 0, _PAGE
        while start < len(wanted):
            batch = wanted[start : start + count]
            values = run_many(
                self._client,
                [("HGET", self._keys.result(uuid), name) for uuid, name in batch],
            )
            size = 1
            for (uuid, name), value in zip(batch, values, strict=True):
                if value is not None:  # it is gone: the moment will be another, too
                    size += len(value)
                    yield uuid, name, value
            start += count
            count = max(_FEWEST, min(_MOST, count * BYTES_IN_LINE // size))

    def _write_hash(self, pen: Pen, name: str, sentinel: bytes) -> None:
        key = getattr(self._keys, name)
        names = sorted(set(run(self._client, "HKEYS", key)) - {sentinel}, key=_order)
        for batch in _batches(names):
            values = run(self._client, "HMGET", key, *batch)
            found = {
                field: value
                for field, value in zip(batch, values, strict=True)
                if value is not None
            }
            pen.write(name, fields=fields_of(found))

    def _write_zset(self, pen: Pen, name: str) -> None:
        key = getattr(self._keys, name)
        rows = run(self._client, "ZRANGE", key, 0, -1, "WITHSCORES")
        for batch in _batches([row for row in rows if row[0] != b"-"]):
            members = {text_of(member): float(score) for member, score in batch}
            pen.write(name, members=members)

    def _write_journal(self, pen: Pen) -> int:
        count, start = 0, "-"
        while True:
            rows = run(
                self._client,
                *("XRANGE", self._keys.events, start, "+", "COUNT", FIELDS_IN_LINE),
            )
            for entry, fields in rows:
                pen.write("event", id=entry.decode(), fields=fields_of(fields))
            count += len(rows)
            if len(rows) < FIELDS_IN_LINE:
                return count
            start = f"({rows[-1][0].decode()}"


def _order(name: bytes) -> tuple[int, bytes]:
    """Let numbers of nodes come in their order."""
    return len(name) if name.isdigit() else 1 << 30, name


def _batches(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), FIELDS_IN_LINE):
        yield items[start : start + FIELDS_IN_LINE]
