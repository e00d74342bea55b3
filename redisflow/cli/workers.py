"""``redisflow workers``: who is alive, and what each of them is at."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from redisflow.cli.completion import complete_run
from redisflow.cli.console import BAD
from redisflow.cli.damaged import DamagedRuns, readable_of
from redisflow.cli.layout import print_table
from redisflow.cli.options import (
    READING_STATUS,
    Output,
    OutputOption,
    Url,
    WatchOption,
)
from redisflow.cli.reports import Report, show_report
from redisflow.errors import FlowLost
from redisflow.looking.clock import ServerClock, iso_time
from redisflow.looking.flows import find_flow
from redisflow.looking.listing import WantedRuns, list_runs, read_run_id
from redisflow.looking.situation import Claim, read_claims
from redisflow.looking.texts import duration, printable, worker_text
from redisflow.looking.unreadable import backend_to_look
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run_many
from redisflow.persistence.records import RUN_ID_FIELD

EPILOG = f"""\
[bold]Examples[/bold]

redisflow workers

redisflow workers nightly --watch

redisflow workers -o jsonl | jq 'select(.lease_left_s < 0)'

A worker has a lease on each run that it takes part in; one whose lease is over counts
as dead, and others take back what it holds. Workers that serve submitted flows have a
line of their own.

{READING_STATUS}
"""

_ITEMS_SHOWN = 3
_BATCH = 200


@dataclass(frozen=True, slots=True)
class _Work:
    """What a worker holds.

    Attributes:
        item: its name.
        atom: name of the atom that it is about; empty for the end of the run.
        since: when that was begun, in the server's milliseconds; 0 for never.
    """

    item: str
    atom: str
    since: int


@dataclass(frozen=True, slots=True)
class _Worker:
    """A worker, on one run.

    Attributes:
        worker: its id.
        run_id: of the run; None if it has none.
        name: of the flow.
        flow_uuid: the uuid of the flow; None for one that serves submitted flows.
        lease_s: what is left of its lease, in seconds.
        holds: what it holds.
    """

    worker: str
    run_id: str | None
    name: str | None
    flow_uuid: str | None
    lease_s: float
    holds: Sequence[_Work]


def workers(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="A run id, the uuid of a flow, or the beginning of one; without it all"
            " runs that have workers.",
            show_default=False,
            autocompletion=complete_run,
        ),
    ] = None,
    *,
    watch: WatchOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show who is alive, what is left of the leases, and what each worker holds."""
    with contextlib.closing(backend_to_look(url)) as backend:
        uuid = None if run is None else find_flow(backend, run)
        damaged = DamagedRuns()

        def read() -> Report:
            clock = ServerClock(backend.client)
            found = list(_of_runs(backend, uuid, clock, damaged))
            damaged.tell()
            if uuid is None:
                found += _servers(backend, clock)
            return Report(
                human=lambda console: _print(found, clock, console),
                document=lambda: {"workers": [_record(each) for each in found]},
                records=lambda: map(_record, found),
            )

        show_report(read, output, watch)


def _of_runs(
    backend: RedisBackend,
    uuid: str | None,
    clock: ServerClock,
    damaged: DamagedRuns,
) -> Iterator[_Worker]:
    """Give the workers of one run, or of all runs that have any."""
    if uuid is not None:
        key = backend.keys.of_flow(uuid).flow
        ((run_id, name),) = run_many(
            backend.client, [("HMGET", key, RUN_ID_FIELD, "name")]
        )
        if name is None:
            raise FlowLost(f"flow {uuid} is gone", key=key)
        known = read_run_id(backend, run_id, key=key), name.decode(errors="replace")
        yield from _on(backend, {uuid: known}, clock)
        return
    runs = readable_of(list_runs(backend, WantedRuns()), damaged)
    while batch := {
        each.flow_uuid: (each.run_id, each.name) for each in islice(runs, _BATCH)
    }:
        yield from _on(backend, batch, clock)


def _on(
    backend: RedisBackend,
    runs: Mapping[str, tuple[str | None, str]],
    clock: ServerClock,
) -> Iterator[_Worker]:
    keys = {uuid: backend.keys.of_flow(uuid) for uuid in runs}
    leases = run_many(
        backend.client,
        [
            ("ZRANGEBYSCORE", keys[uuid].workers, "-inf", "(inf", "WITHSCORES")
            for uuid in runs
        ],
    )
    for uuid, rows in zip(runs, leases, strict=True):
        if not rows:
            continue
        deadlines = {name.decode(): float(score) for name, score in rows}
        claims = read_claims(backend, keys[uuid], deadlines, clock.now_ms())
        works = list(_works(backend, uuid, claims))
        for name, deadline in deadlines.items():
            held = [w for c, w in zip(claims, works, strict=True) if c.worker == name]
            left_s = (deadline - clock.now_ms()) / 1000
            yield _Worker(name, *runs[uuid], uuid, left_s, held)


def _works(
    backend: RedisBackend, uuid: str, claims: Sequence[Claim]
) -> Iterator[_Work]:
    """Tell what claims are about."""
    keys = backend.keys.of_flow(uuid)
    nodes = run_many(
        backend.client, [("HGET", keys.graph, max(0, claim.node)) for claim in claims]
    )
    atoms = ["" if node is None else node.decode().split("|")[2] for node in nodes]
    rows = run_many(
        backend.client,
        [("HMGET", keys.atom(atom), "name", "started_at") for atom in atoms],
    )
    for claim, (name, since) in zip(claims, rows, strict=True):
        if claim.node < 0 or name is None:
            yield _Work(claim.item, "", 0)
        else:
            yield _Work(claim.item, name.decode(), int(since or 0))


def _servers(backend: RedisBackend, clock: ServerClock) -> list[_Worker]:
    """List those that wait for submitted flows, at most 1000."""
    now_ms = clock.now_ms()
    command = ("ZRANGEBYSCORE", backend.keys.servers, f"{now_ms:.0f}", "+inf")
    (rows,) = run_many(backend.client, [(*command, "WITHSCORES", "LIMIT", 0, 1000)])
    return [
        _Worker(name.decode(), None, None, None, (float(deadline) - now_ms) / 1000, ())
        for name, deadline in rows
    ]


def _print(found: Sequence[_Worker], clock: ServerClock, console: Console) -> None:
    if not found:
        console.print("no worker is alive")
        return
    now_ms = clock.now_ms()
    print_table(
        console,
        [_row(each, now_ms) for each in found],
        numeric=("LEASE LEFT", "HOLDS"),
        dull={"HOLDS": ("-",), "AT": ("",)},
        spare=("HOLDS",),
    )


def _row(worker: _Worker, now_ms: float) -> dict[str, str | Text]:
    lease = Text(duration(worker.lease_s))
    if worker.lease_s <= 0:
        lease = Text("over", BAD)
    shown = [_work_text(work, now_ms) for work in worker.holds[:_ITEMS_SHOWN]]
    if len(worker.holds) > _ITEMS_SHOWN:
        shown.append("…")
    run = worker.run_id or worker.name or "(serves submitted flows)"
    return {
        "WORKER": Text(printable(worker_text(worker.worker))),
        "RUN": Text(printable(run)),
        "LEASE LEFT": lease,
        "HOLDS": str(len(worker.holds) or "-"),
        "AT": Text(printable(", ".join(shown))),
    }


def _work_text(work: _Work, now_ms: float) -> str:
    if not work.atom:
        return "the end of the run"
    kind = work.item.rpartition(":")[2]
    what = work.atom if kind == "execute" else f"{work.atom} ({kind})"
    if not work.since:
        return what
    return f"{what} for {duration((now_ms - work.since) / 1000)}"


def _record(worker: _Worker) -> dict[str, Any]:
    return {
        "worker": worker.worker,
        "run_id": worker.run_id,
        "flow_uuid": worker.flow_uuid,
        "name": worker.name,
        "serves": worker.flow_uuid is None,
        "lease_left_s": round(worker.lease_s, 3),
        "holds": [
            {"item": w.item, "atom": w.atom or None, "since": iso_time(w.since)}
            for w in worker.holds
        ],
    }
