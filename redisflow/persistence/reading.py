"""Flows and atoms, read from their hashes into TaskFlow's details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from taskflow import states
from taskflow.persistence import models

from redisflow.arguments import INJECTOR
from redisflow.codec import Codec
from redisflow.errors import CorruptKey
from redisflow.persistence.commands import run, run_many
from redisflow.persistence.fields import Seen, note_seen, sheet_of_atom, sheet_of_flow
from redisflow.persistence.records import (
    RESULT_FIELDS,
    AtomRecord,
    FlowRecord,
    history_from,
    pairs,
    parse_atom,
    parse_atoms,
    parse_flow,
    parse_payload,
)
from redisflow.scripts import FlowScripts

if TYPE_CHECKING:
    from redisflow.persistence.backend import RedisBackend

#: Records that one pipeline, or one call of a cheap script, carries.
BATCH = 1000

#: Atoms that one call of flow_sync brings: it takes the server less than a millisecond.
SYNC_PAGE = 40

#: A revision that no flow reaches: nothing has changed since.
NOTHING_SINCE = 2**53


def read_flow(
    scripts: FlowScripts, backend: RedisBackend
) -> tuple[FlowRecord, list[AtomRecord]]:
    """Read a whole flow, without results, in bounded calls.

    Raises:
        FlowLost: it is gone.
    """
    codec, keys = backend.codec, scripts.keys
    atoms: dict[str, AtomRecord] = {}
    since, more = 0, 1
    flow_fields: list[bytes] = []
    while more:
        reply = scripts.call("flow_sync", since=since, limit=SYNC_PAGE)
        since, more, flow_fields, found, _live = reply.fields
        for record in parse_atoms(found, codec, keys):
            atoms[record.uuid] = record
    flow = parse_flow(flow_fields, codec, key=keys.flow)
    return flow, sorted(atoms.values(), key=lambda record: record.place)


def fetch_results(
    scripts: FlowScripts, backend: RedisBackend, atoms: list[AtomRecord]
) -> None:
    """Fill results and failures into the details of atoms."""
    keys, codec = scripts.keys, backend.codec
    for start in range(0, len(atoms), BATCH):
        batch = atoms[start : start + BATCH]
        commands = [("HGETALL", keys.result(record.uuid)) for record in batch]
        replies = run_many(backend.client, commands)
        for record, found in zip(batch, replies, strict=True):
            _fill_results(record, found, codec, key=keys.result(record.uuid))


def read_flow_detail(
    scripts: FlowScripts, backend: RedisBackend, *, lazy: bool
) -> models.FlowDetail:
    """Read the details of a flow; lazily: without its atoms.

    Raises:
        FlowLost: there is none.
    """
    uuid = scripts.keys.flow_uuid
    if lazy:
        reply = scripts.call("flow_sync", since=NOTHING_SINCE, limit=1)
        flat = reply.fields[2]
        flow = parse_flow(flat, backend.codec, key=scripts.keys.flow)
        atoms: list[AtomRecord] = []
    else:
        flow, atoms = read_flow(scripts, backend)
        fetch_results(scripts, backend, atoms)
    detail = models.FlowDetail(flow.fields["name"], uuid)
    detail.state = flow.state
    detail.meta = dict(flow.meta)
    seen = Seen(backend.origin, uuid, whole=not lazy)
    note_seen(detail, seen, sheet_of_flow(detail, backend.codec))
    for record in atoms:
        _note_atom(record, backend, uuid)
        detail.add(record.detail)
    return detail


def read_atom_detail(
    scripts: FlowScripts, backend: RedisBackend, uuid: str
) -> models.AtomDetail | None:
    """Read the details of one atom, and nothing else of its flow.

    Raises:
        FlowLost: there is no such flow.
    """
    reply = scripts.call("atom_read", of=uuid)
    if reply.status == "UNKNOWN":
        return None
    atom, result = reply.fields
    keys, codec = scripts.keys, backend.codec
    record = parse_atom(uuid, atom, codec, key=keys.atom(uuid))
    _fill_results(record, dict(pairs(result)), codec, key=keys.result(uuid))
    _note_atom(record, backend, keys.flow_uuid)
    return record.detail


def flow_of_atom(backend: RedisBackend, atom_uuid: str) -> str | None:
    """Find the flow of an atom: by the index, or by asking for it in every flow.

    The index holds the atoms of details that were saved; those that a storage or an
    engine has ensured are not in it until somebody has asked for them here.
    """
    client, keys = backend.client, backend.keys
    known = run(client, "HGET", keys.atom_index, atom_uuid)
    if known is not None:
        return str(known.decode())
    flows: Sequence[bytes] = run(client, "ZRANGE", keys.flows, 0, -1)
    for start in range(0, len(flows), BATCH):
        batch = [uuid.decode() for uuid in flows[start : start + BATCH]]
        wanted = [keys.of_flow(uuid).atom(atom_uuid) for uuid in batch]
        found = run_many(client, [("EXISTS", key) for key in wanted])
        for flow_uuid, exists in zip(batch, found, strict=True):
            if exists:
                run(client, "HSET", keys.atom_index, atom_uuid, flow_uuid)
                return flow_uuid
    return None


def _note_atom(record: AtomRecord, backend: RedisBackend, flow_uuid: str) -> None:
    seen = Seen(backend.origin, flow_uuid, rev=record.rev)
    note_seen(record.detail, seen, sheet_of_atom(record.detail, backend.codec))


def _fill_results(
    record: AtomRecord, found: Mapping[bytes, bytes], codec: Codec, *, key: str
) -> None:
    injected: dict[str, Any] = {}
    entries: dict[str, Any] = {}
    try:
        for raw_name, data in found.items():
            name = raw_name.decode()
            if name.startswith("value:"):
                injected[name[6:]] = codec.decode(data, key=key)
            elif name.startswith("entry:"):
                entries[name] = parse_payload(name, data, codec, key=key)
            elif name in RESULT_FIELDS:
                value = parse_payload(name, data, codec, key=key)
                setattr(record.detail, name, value)
        if record.type == "retry":
            record.detail.results = history_from(entries)
    except ValueError as error:
        message = f"key {key} has a field that redisflow did not write: {error}"
        raise CorruptKey(message, key=key) from error
    saved = record.name == INJECTOR and record.detail.state == states.SUCCESS
    if injected or (saved and b"results" not in found):
        record.detail.results = injected
