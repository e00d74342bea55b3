"""Finding a flow by what a person knows of it, and reading it; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskflow.types.failure import Failure

from redisflow.arguments import INJECTOR
from redisflow.client import Client
from redisflow.errors import NotFound
from redisflow.keys import FlowKeys, flow_uuid_of
from redisflow.looking.atoms import seconds_taken
from redisflow.looking.clock import ServerClock
from redisflow.persistence import RedisBackend
from redisflow.persistence.nodes import Node, nodes_of
from redisflow.persistence.reading import read_flow
from redisflow.persistence.records import (
    FAILURE_FIELDS,
    AtomRecord,
    FlowRecord,
    History,
    history_from,
    parse_payload,
)

#: Shorter beginnings of a uuid are taken for a typing error.
SHORTEST_PREFIX = 4

_PAGE = 1000
_NAMED = 5


@dataclass(frozen=True, slots=True)
class FlowView:
    """A flow as it was at one moment.

    Attributes:
        record: the flow's own hash.
        atoms: in the order of the graph, without TaskFlow's injector.
        failures: of these atoms, by name and by field.
        workers: worker -> seconds left of its lease, of those alive.
        nodes: of the structure, by number.
        now_ms: the moment, by the server's clock.
    """

    record: FlowRecord
    atoms: Sequence[AtomRecord]
    failures: Mapping[str, Mapping[str, Failure]]
    workers: Mapping[str, float]
    nodes: Mapping[int, Node]
    now_ms: float

    def has_lost(self, atom: AtomRecord) -> bool:
        """Tell whether an atom is held by somebody whose lease is over."""
        return bool(atom.owner) and atom.owner not in self.workers

    def seconds_of(self, atom: AtomRecord) -> float | None:
        """Tell how long an atom ran last, or has been running, as `seconds_taken`."""
        return None if self.has_lost(atom) else seconds_taken(atom, self.now_ms)


def find_flow(backend: RedisBackend, text: str) -> str:
    """Find the uuid of a flow by run id, uuid, or the beginning of a uuid.

    Raises:
        NotFound: there is none, or no single one.
    """
    client, keys = backend.client, backend.keys
    for uuid in (flow_uuid_of(text, keys.namespace), text, text.lower()):
        if client.execute("EXISTS", keys.of_flow(uuid).flow):
            return uuid
    found: list[str] = []
    if len(text) >= SHORTEST_PREFIX:
        found = [uuid for uuid in _known(backend) if uuid.startswith(text.lower())]
        commands = [("EXISTS", keys.of_flow(uuid).flow) for uuid in found]
        there = client.execute_many(commands)
        found = [uuid for uuid, exists in zip(found, there, strict=True) if exists]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(found[:_NAMED]) + (", …" if len(found) > _NAMED else "")
        raise NotFound(f"{text!r} is the beginning of several uuids: {names}")
    raise NotFound(f"{backend.config.address} has no flow with run id or uuid {text!r}")


def _known(backend: RedisBackend) -> Iterator[str]:
    """Give the uuids in the index; some of those flows may be gone."""
    start = 0
    while True:
        key = backend.keys.flows
        page = backend.client.execute("ZRANGE", key, start, start + _PAGE - 1)
        yield from (uuid.decode() for uuid in page)
        if len(page) < _PAGE:
            return
        start += _PAGE


def read_view(backend: RedisBackend, uuid: str) -> FlowView:
    """Read a flow.

    Raises:
        FlowLost: it is gone.
        CorruptKey: it, or its structure, cannot be read.
    """
    scripts = backend.scripts_of(uuid)
    record, atoms = read_flow(scripts, backend)
    atoms = [atom for atom in atoms if atom.name != INJECTOR]
    atoms.sort(key=lambda atom: (atom.node < 0, atom.node, atom.name))
    keys = scripts.keys
    leases, starter, graph = backend.client.execute_many(
        [
            ("ZRANGE", keys.workers, 0, -1, "WITHSCORES"),
            ("HGET", keys.flow, "starter"),
            ("HGETALL", keys.graph),
        ]
    )
    now_ms = ServerClock(backend.client).now_ms()
    return FlowView(
        record,
        atoms,
        _failures(backend, keys, atoms),
        {
            worker.decode(): (float(deadline) - now_ms) / 1000
            for worker, deadline in leases
            if now_ms <= float(deadline) < float("inf")
        },
        nodes_of(graph, key=keys.graph, loading=bool(starter)),
        now_ms,
    )


def _failures(
    backend: RedisBackend, keys: FlowKeys, atoms: Sequence[AtomRecord]
) -> dict[str, dict[str, Failure]]:
    failed = [atom for atom in atoms if atom.failed]
    commands = [("HMGET", keys.result(atom.uuid), *FAILURE_FIELDS) for atom in failed]
    found: dict[str, dict[str, Failure]] = {}
    for atom, values in zip(failed, _paged(backend.client, commands), strict=True):
        key = keys.result(atom.uuid)
        found[atom.name] = {
            field: parse_payload(field, data, backend.codec, key=key)
            for field, data in zip(FAILURE_FIELDS, values, strict=True)
            if data is not None
        }
    return found


def read_histories(
    backend: RedisBackend, uuid: str, atoms: Sequence[AtomRecord]
) -> dict[str, History]:
    """Read what retry controllers have tried, and what failed then.

    Returns:
        Controller's name -> for each try its value, and failures by atom.

    Raises:
        CorruptKey: a history cannot be read.
    """
    keys = backend.keys.of_flow(uuid)
    tried = [atom for atom in atoms if atom.entries]
    commands = [("HGETALL", keys.result(atom.uuid)) for atom in tried]
    found: dict[str, History] = {}
    for atom, rows in zip(tried, _paged(backend.client, commands), strict=True):
        key = keys.result(atom.uuid)
        payloads = {name.decode(errors="replace"): data for name, data in rows.items()}
        found[atom.name] = history_from(
            {
                name: parse_payload(name, data, backend.codec, key=key)
                for name, data in payloads.items()
                if name.startswith("entry:")
            }
        )
    return found


def _paged(client: Client, commands: Sequence[tuple[str, ...]]) -> Iterator[Any]:
    for start in range(0, len(commands), 1000):
        yield from client.execute_many(commands[start : start + 1000])


def cancelled_by(fields: Mapping[str, str]) -> dict[str, str] | None:
    """Tell from a flow's hash who has cancelled it, and why; None if nobody has."""
    if (cancelled := fields.get("cancelled")) is None:
        return None
    who, _, reason = cancelled.partition(" ")
    return {"who": who, "reason": reason}


def is_submitted(fields: Mapping[str, str]) -> bool:
    """Tell from a flow's hash whether workers have to begin it, or to end it."""
    return int(fields.get("submitted") or 0) > int(fields.get("ended") or 0)
