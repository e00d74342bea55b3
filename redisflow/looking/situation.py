"""What `why` has to know of a run: all that decides what is handed out next.

It is read in three round trips, which are not one moment: what changes in between may
be told of as it was a moment before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskflow.types.failure import Failure

from redisflow.keys import FlowKeys
from redisflow.looking.flows import FlowView, read_view
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run_many
from redisflow.persistence.nodes import Node
from redisflow.persistence.records import AtomRecord
from redisflow.rwlock import FlowLock, LockOwner

_ITEMS = 1000

#: Entries of the journal in which a suspend is looked for.
_LATEST = 100


def node_of(item: str) -> int:
    """Tell which node a work item is about; -1 for the end of the run."""
    number = item.partition(":")[0]
    return int(number) if number.isdigit() else -1


@dataclass(frozen=True, slots=True)
class Claim:
    """A work item, and who holds it.

    Attributes:
        item: its name, such as ``00000012:execute``.
        worker: who holds it.
        lease_s: what is left of its lease, in seconds; negative where it has lapsed.
    """

    item: str
    worker: str
    lease_s: float

    @property
    def kind(self) -> str:
        """What is to be done: execute, revert, retry, decide, resolve or finish."""
        return self.item.rpartition(":")[2]

    @property
    def node(self) -> int:
        """The number of the node that it is about; -1 for finish."""
        return node_of(self.item)


@dataclass(frozen=True, slots=True)
class Situation:
    """A run, and what decides what is handed out next.

    Attributes:
        view: the flow.
        nodes: its structure.
        atoms: those that are part of it, by the numbers of their nodes.
        claims: what workers hold.
        ready: items that wait for a worker, in the order in which they are taken; the
            first 1000.
        ready_count: how many there are.
        missing: field of the counters -> how many neighbours hold a node back.
        plan: the change of many records that is in progress; empty if there is none.
        declined: item -> workers that have given it back for want of a value.
        lacks: item -> what these were missing.
        halts: failures for which the run is being ended, or was.
        holders: who writes, or reads, in a section of the flow's lock.
        waiters: who waits for it.
        fence: of the last one who wrote in it.
        servers: how many workers serve submitted flows.
        suspended: who has asked last that it be suspended, and why; None if the journal
            does not tell.
    """

    view: FlowView
    nodes: Mapping[int, Node]
    atoms: Mapping[int, AtomRecord]
    claims: Sequence[Claim]
    ready: Sequence[str]
    ready_count: int
    missing: Mapping[str, int]
    plan: Mapping[str, str]
    declined: Mapping[str, Sequence[str]]
    lacks: Mapping[str, Failure]
    halts: Sequence[Failure]
    holders: Sequence[LockOwner]
    waiters: Sequence[LockOwner]
    fence: int
    servers: int
    suspended: tuple[str, str] | None

    @property
    def fields(self) -> Mapping[str, str]:
        """The fields of the flow's hash."""
        return self.view.record.fields


def read_situation(backend: RedisBackend, uuid: str) -> Situation:
    """Read a run and what decides what is handed out next.

    Raises:
        FlowLost: it is gone.
    """
    view = read_view(backend, uuid)
    keys = backend.keys.of_flow(uuid)
    halts = [f"halt:{n}" for n in range(1, int(view.record.fields.get("halt", 0)) + 1)]
    found = run_many(
        backend.client,
        [
            ("HGETALL", keys.claims),
            ("ZRANGEBYSCORE", keys.ready, "-inf", "(inf", "LIMIT", 0, _ITEMS),
            ("ZCOUNT", keys.ready, "-inf", "(inf"),
            ("HGETALL", keys.missing),
            ("HGETALL", keys.plan),
            ("ZRANGEBYSCORE", keys.workers, "-inf", "(inf", "WITHSCORES"),
            ("ZCOUNT", backend.keys.servers, f"{view.now_ms:.0f}", "+inf"),
            ("HGET", keys.lock, "fence"),
            ("XREVRANGE", keys.events, "+", "-", "COUNT", _LATEST),
            *(("HGET", keys.flow, name) for name in halts),
        ],
    )
    claims, ready, count, missing, plan, leases, servers, fence = found[:8]
    acts, *payloads = found[8:]
    by_uuid = {atom.uuid: atom for atom in view.atoms}
    lock = FlowLock(backend.client, keys)
    deadlines = {worker.decode(): float(score) for worker, score in leases}
    return Situation(
        view=view,
        nodes=view.nodes,
        atoms={
            number: by_uuid[node.atom]
            for number, node in view.nodes.items()
            if node.atom in by_uuid
        },
        claims=_claims(claims, deadlines, view.now_ms),
        ready=[item.decode() for item in ready],
        ready_count=int(count),
        missing={
            name.decode(): int(left) for name, left in missing.items() if left.isdigit()
        },
        plan=_plan(plan) if view.record.fields.get("planned") == "1" else {},
        declined={
            name.decode().removeprefix("declined:"): value.decode().split()
            for name, value in plan.items()
            if name.startswith(b"declined:")
        },
        lacks={
            name.decode().removeprefix("lack:"): backend.codec.decode_failure(
                value, key=keys.plan
            )
            for name, value in plan.items()
            if name.startswith(b"lack:")
        },
        halts=[
            backend.codec.decode_failure(payload, key=keys.flow)
            for payload in payloads
            if payload is not None
        ],
        holders=lock.holders(),
        waiters=lock.waiters(),
        fence=int(fence or 0),
        servers=int(servers),
        suspended=_suspended(acts) if "SUSPEND" in str(view.record.state) else None,
    )


def _suspended(entries: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> Any:
    """Find who has asked last for a suspend, in the latest entries of the journal."""
    for _id, entry in entries:
        if entry.get(b"act") == b"suspend":
            who, why = entry.get(b"worker", b""), entry.get(b"reason", b"")
            return who.decode(errors="replace"), why.decode(errors="replace")
    return None


def read_claims(
    backend: RedisBackend,
    keys: FlowKeys,
    deadlines: Mapping[str, float],
    now_ms: float,
) -> list[Claim]:
    """Read who holds what.

    Args:
        backend: where the flow is.
        keys: of the flow.
        deadlines: when each worker's lease ends, in the server's milliseconds.
        now_ms: the time now.
    """
    (rows,) = run_many(backend.client, [("HGETALL", keys.claims)])
    return _claims(rows, deadlines, now_ms)


def _claims(
    rows: Mapping[bytes, bytes], deadlines: Mapping[str, float], now_ms: float
) -> list[Claim]:
    found = []
    for item, held in rows.items():
        worker = held.decode().partition(" ")[0]
        if item == b"-" or item.startswith(b"#"):
            continue  # a sentinel, and how many each worker holds
        left_ms = deadlines.get(worker, now_ms) - now_ms
        found.append(Claim(item.decode(), worker, left_ms / 1000))
    return sorted(found, key=lambda claim: claim.item)


def _plan(rows: Mapping[bytes, bytes]) -> dict[str, str]:
    known = ("phases", "cursor", "walk", "depth", "to_open", "to_clear")
    found: dict[str, Any] = {name: rows.get(name.encode()) for name in known}
    return {name: value.decode() for name, value in found.items() if value is not None}
