"""All runs of a namespace, a page at a time, the newest first.

The index of flows is read by the time of creation, a few hundred entries a call, and
what is told of each comes from its own hash and the sizes of its collections: no atom
is read. Entries whose flow is gone are left out; a flow that appears while the list is
read may be missing from it. One that is damaged is listed in the state `DAMAGED`, with
its uuid and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from redisflow.arguments import INJECTOR
from redisflow.errors import CorruptKey
from redisflow.looking.clock import ServerClock
from redisflow.looking.flows import cancelled_by, is_submitted
from redisflow.looking.unreadable import DAMAGED, UNREADABLE
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import Command, run, run_each
from redisflow.persistence.records import RUN_ID_FIELD

#: Entries of the index that are read in one call.
PAGE = 250

#: Entries of one time that are read again: so many may go meanwhile.
_OVERLAP = 50

#: Fields that are plain text; a run id is the codec's.
_FIELDS = (
    "name",
    "state",
    "run",
    "ended",
    "rev",
    "created_at",
    "updated_at",
    "unfinished",
    "nodes",
    "cancelled",
    "submitted",
)


@dataclass(frozen=True, slots=True)
class WantedRuns:
    """Which runs are listed.

    Attributes:
        states: in one of these; empty for all.
        older_s: created longer ago than so many seconds.
        newer_s: created within so many seconds.
        name: a pattern, as shells have it, for the run id or the flow's name.
        limit: at most so many.
    """

    states: frozenset[str] = frozenset()
    older_s: float | None = None
    newer_s: float | None = None
    name: str | None = None
    limit: int | None = None

    def fits(self, flow: RunSummary) -> bool:
        """Tell whether a flow is one of those, by what its own hash says."""
        if self.states and flow.state not in self.states:
            return False
        if self.name is None:
            return True
        names = (flow.name, flow.run_id or flow.flow_uuid)
        return any(fnmatchcase(name, self.name) for name in names)


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What the list tells of a run.

    Attributes:
        flow_uuid: the uuid of its flow.
        run_id: what it was named; None for flows that were not made by run id.
        name: the flow's name.
        state: the flow's state; `DAMAGED` where nothing of it can be read.
        run: number of the current run.
        ended: number of the last run that has ended; 0 if none has.
        rev: counts changes.
        created_at: in the server's milliseconds.
        updated_at: likewise.
        cancelled: who cancelled it, and why; None if nobody did.
        unfinished: atoms that are neither SUCCESS nor IGNORE; None as long as the
            structure is not in Redis.
        submitted: whether it is left to workers who have not begun, or not ended, it.
        atoms: how many it has.
        workers: how many are alive.
    """

    flow_uuid: str
    run_id: str | None
    name: str
    state: str
    run: int = 0
    ended: int = 0
    rev: int = 0
    created_at: int = 0
    updated_at: int = 0
    cancelled: Mapping[str, str] | None = None
    unfinished: int | None = None
    submitted: bool = False
    atoms: int = 0
    workers: int = 0

    @property
    def done(self) -> int | None:
        """How many atoms are SUCCESS or IGNORE; None where that is not counted."""
        if self.unfinished is None:
            return None
        return max(0, self.atoms - self.unfinished)

    @property
    def label(self) -> str:
        """What a person calls it by: its run id, or its flow's name."""
        return self.name if self.run_id is None else self.run_id

    @property
    def readable(self) -> bool:
        """Whether anything is known of it."""
        return self.state != DAMAGED


def read_run_id(backend: RedisBackend, data: bytes | None, *, key: str) -> str | None:
    """Read a run id; one that cannot be read here is shown as such."""
    if data is None:
        return None
    try:
        return str(backend.codec.decode(data, key=key))
    except CorruptKey:
        return UNREADABLE


def list_runs(backend: RedisBackend, wanted: WantedRuns) -> Iterator[RunSummary]:
    """Give the runs that are wanted, the newest first; reads as far as is asked for.

    Raises:
        CorruptKey: the index is not what redisflow wrote.
    """
    given = 0
    clock = ServerClock(backend.client)
    for uuids in _pages(backend, wanted, clock.now_ms()):
        fitting = [flow for flow in _flows(backend, uuids) if wanted.fits(flow)]
        if wanted.limit is not None:
            fitting = fitting[: wanted.limit - given]
        yield from _with_sizes(backend, fitting, clock.now_ms())
        given += len(fitting)
        if given == wanted.limit:
            return


def _pages(
    backend: RedisBackend, wanted: WantedRuns, now_ms: float
) -> Iterator[list[str]]:
    """Give the uuids in the index, by time, a page at a time.

    Pages begin at a time, not at a rank: ranks move when flows come and go.
    """
    newest, oldest = "+inf", "-inf"
    if wanted.older_s is not None:
        newest = f"({now_ms - wanted.older_s * 1000:.0f}"
    if wanted.newer_s is not None:
        oldest = f"{now_ms - wanted.newer_s * 1000:.0f}"
    given: set[bytes] = set()  # those of the time at which the next page begins
    while True:
        found: Sequence[tuple[bytes, float]] = run(
            backend.client,
            *("ZREVRANGEBYSCORE", backend.keys.flows, newest, oldest, "WITHSCORES"),
            *("LIMIT", max(0, len(given) - _OVERLAP), PAGE + _OVERLAP),
        )
        fresh = [uuid for uuid, _time in found if uuid not in given]
        if not fresh:
            return
        yield [uuid.decode() for uuid in fresh]
        last = float(found[-1][1])
        if f"{last:.0f}" != newest:
            newest, given = f"{last:.0f}", set()
        given |= {uuid for uuid, time in found if float(time) == last}


def _flows(backend: RedisBackend, uuids: Sequence[str]) -> Iterator[RunSummary]:
    """Read the hashes of flows, but for those that are gone."""
    keys = [backend.keys.of_flow(uuid).flow for uuid in uuids]
    commands: list[Command] = [("HMGET", key, *_FIELDS, RUN_ID_FIELD) for key in keys]
    rows = run_each(backend.client, commands)
    for uuid, key, row in zip(uuids, keys, rows, strict=True):
        if isinstance(row, CorruptKey):
            yield _damaged(uuid)
        elif row[0] is not None:
            try:
                yield _summary(backend, uuid, key, row)
            except ValueError:  # a number, or a text, that is none
                yield _damaged(uuid)


def _damaged(uuid: str) -> RunSummary:
    return RunSummary(flow_uuid=uuid, run_id=None, name="", state=DAMAGED)


def _summary(
    backend: RedisBackend, uuid: str, key: str, row: Sequence[bytes | None]
) -> RunSummary:
    *plain, run_id = row
    fields = {
        name: value.decode()
        for name, value in zip(_FIELDS, plain, strict=True)
        if value is not None
    }
    return RunSummary(
        flow_uuid=uuid,
        run_id=read_run_id(backend, run_id, key=key),
        name=fields.get("name", ""),
        state=fields.get("state") or "PENDING",
        run=int(fields.get("run") or 1),
        ended=int(fields.get("ended") or 0),
        rev=int(fields.get("rev") or 0),
        created_at=int(fields.get("created_at") or 0),
        updated_at=int(fields.get("updated_at") or 0),
        unfinished=int(fields.get("unfinished") or 0) if "nodes" in fields else None,
        cancelled=cancelled_by(fields),
        submitted=is_submitted(fields),
    )


def _with_sizes(
    backend: RedisBackend, flows: Sequence[RunSummary], now_ms: float
) -> Iterator[RunSummary]:
    """Count the atoms and the live workers of flows."""
    commands: list[Command] = []
    for flow in flows:
        keys = backend.keys.of_flow(flow.flow_uuid)
        commands += [
            ("HLEN", keys.atoms),
            ("HEXISTS", keys.atoms, INJECTOR),
            ("ZCOUNT", keys.workers, f"{now_ms:.0f}", "(inf"),
        ]
    replies: list[Any] = run_each(backend.client, commands)
    for number, flow in enumerate(flows):
        sizes = replies[3 * number : 3 * number + 3]
        if not flow.readable or any(isinstance(each, CorruptKey) for each in sizes):
            yield _damaged(flow.flow_uuid)
            continue
        names, injector, workers = sizes
        # Beside the atoms stand a sentinel, and the place of what was injected.
        atoms = max(0, int(names) - 1 - int(injector))
        yield dataclasses.replace(flow, atoms=atoms, workers=int(workers))
