"""``redisflow locks``: who holds locks, who waits for them; and breaking one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from redisflow.cli.commands import paragraphs
from redisflow.cli.completion import complete_run
from redisflow.cli.console import BUSY, DOUBTFUL
from redisflow.cli.damaged import DamagedRuns, readable_of
from redisflow.cli.layout import print_table, print_wrapped
from redisflow.cli.options import (
    READING_STATUS,
    DryRunOption,
    Output,
    OutputOption,
    ReasonOption,
    Url,
    WatchOption,
    YesOption,
)
from redisflow.cli.problems import UsageProblem
from redisflow.cli.reports import Report, json_text, show_report
from redisflow.cli.terminal import confirm, say, whole_output
from redisflow.errors import CorruptKey, InvalidState, NotFound
from redisflow.keys import LockKeys
from redisflow.looking.clock import iso_time
from redisflow.looking.flows import find_flow
from redisflow.looking.listing import WantedRuns, list_runs
from redisflow.looking.texts import duration, printable
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run_each, run_many
from redisflow.persistence.journal import operator_id
from redisflow.rwlock import FlowLock, LockOwner, ReaderWriterLock

EPILOG = f"""\
[bold]Examples[/bold]

redisflow locks

redisflow locks show nightly -o json

redisflow locks break nightly --reason "ctl-2 hangs, ticket 4711"

A lock is a flow's, or one of its own that has a name. One who holds it has a lease, and
loses it when the lease is not renewed; the fence tells one writer from the next.

{READING_STATUS}
"""
_BREAK_EPILOG = """\
[bold]Examples[/bold]

redisflow locks break nightly --reason "ctl-2 hangs, ticket 4711"

redisflow locks break nightly --reason "ctl-2 hangs, ticket 4711" --yes

Whoever held it is refused from then on, and told so with its next change. The reason
stands in the journal of a flow, and with a lock of its own in the field broken_for.

[bold]Exit status[/bold]: 0 broken, 2 usage or no such lock, 4 server, 5 nobody holds
it.
"""

_BATCH = 200
_MARKS = ("fence", "broken_at", "broken_by", "broken_for")

app = typer.Typer(
    name="locks",
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode="rich",
)
Name = Annotated[
    str,
    typer.Argument(
        metavar="RUN|NAME",
        help="A run id, the uuid of a flow or its beginning, or the name of a lock that"
        " belongs to no flow.",
        show_default=False,
        autocompletion=complete_run,
    ),
]


@dataclass(frozen=True, slots=True)
class _Lock:
    """A lock as it is now.

    Attributes:
        name: what it is called by: a run, or its own name.
        flow_uuid: the flow that it belongs to, or None.
        owners: those who hold it, and after them those who wait.
        tickets: of those who wait, by owner.
        marks: the fence, and who has broken it when and why.
    """

    name: str
    flow_uuid: str | None
    owners: Sequence[LockOwner]
    tickets: Mapping[str, int]
    marks: Mapping[str, str]


@app.callback(epilog=paragraphs(EPILOG))
def locks(
    context: typer.Context,
    *,
    watch: WatchOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show who holds locks, and who waits for them; or break one."""
    if context.invoked_subcommand is not None:
        return
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        damaged = DamagedRuns()

        def read() -> Report:
            found = [lock for lock in _all(backend, damaged) if lock.owners]
            damaged.tell()
            return _report(found, "no lock is held")

        show_report(read, output, watch)


@app.command(
    epilog=paragraphs(EPILOG), help="Show one lock: who holds it, and who waits for it."
)
def show(
    name: Name,
    *,
    watch: WatchOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show one lock."""
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        lock, uuid = _find(backend, name)

        def read() -> Report:
            return _report([_read(backend, name, uuid, lock)], "nobody holds it")

        show_report(read, output, watch)


@app.command(
    "break",
    epilog=paragraphs(_BREAK_EPILOG),
    help="Take a lock away from whoever holds it.",
)
def break_(
    name: Name,
    *,
    reason: ReasonOption,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Take a lock away from whoever holds it."""
    if not reason.strip():
        raise UsageProblem("--reason: say why; it stands beside the lock")
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        lock, uuid = _find(backend, name)
        holders = lock.holders()
        if not holders:
            raise InvalidState(f"nobody holds the lock {name!r}")
        for holder in holders:
            say(f"{_who(holder)} {holder.does}, for {duration(holder.age_s)} now")
        if dry_run:
            say(f"the lock {printable(name)} would be taken away from them")
            _print_broken(name, uuid, [], output)
            return
        confirm(f"take the lock {printable(name)} away from them?", yes=yes)
        broken = lock.force_release(reason, who=operator_id())
        if not broken:
            raise InvalidState(f"nobody holds the lock {name!r} any more")
    number = f"{len(broken)} holder{'' if len(broken) == 1 else 's'}"
    say(f"the lock {printable(name)} was taken from {number}")
    _print_broken(name, uuid, broken, output)


def _print_broken(
    name: str, uuid: str | None, broken: Sequence[LockOwner], output: Output
) -> None:
    if output is Output.HUMAN:
        return
    rows = [_owner_record(each, None) for each in broken]
    with whole_output() as stream:
        document = {"lock": name, "flow_uuid": uuid, "broken": rows}
        stream.write(json_text(document, output))


# Finding and reading


def _find(backend: RedisBackend, name: str) -> tuple[ReaderWriterLock, str | None]:
    """Find a flow's lock, or else one that has this name."""
    try:
        uuid = find_flow(backend, name)
    except NotFound:
        keys = backend.keys.of_lock(name)
        if backend.client.execute("EXISTS", keys.lock):
            return ReaderWriterLock(backend, name), None
        raise
    return FlowLock(backend.client, backend.keys.of_flow(uuid)), uuid


def _all(backend: RedisBackend, damaged: DamagedRuns) -> Iterator[_Lock]:
    """Read the locks of flows that anybody holds or waits for, and those with names."""
    runs = readable_of(list_runs(backend, WantedRuns()), damaged)
    while batch := {each.flow_uuid: each.label for each in islice(runs, _BATCH)}:
        keys = {uuid: backend.keys.of_flow(uuid) for uuid in batch}
        replies = run_each(
            backend.client,
            [
                command
                for key in keys.values()
                for command in (("HGET", key.lock, "held"), ("ZCARD", key.lock_queue))
            ],
        )
        for uuid, held, queue in zip(batch, replies[::2], replies[1::2], strict=True):
            if isinstance(held, CorruptKey) or isinstance(queue, CorruptKey):
                damaged.add(uuid)
            elif held or queue > 1:  # more than its sentinel
                lock = FlowLock(backend.client, keys[uuid])
                yield _read(backend, batch[uuid], uuid, lock)
    begin, end = f"{backend.keys.namespace}:{{lock:", "}:lock"
    names = {
        key.decode().removeprefix(begin).removesuffix(end)
        for key in backend.client.scan(f"{begin}*{end}")
    }
    for name in sorted(names):
        yield _read(backend, name, None, ReaderWriterLock(backend, name))


def _read(
    backend: RedisBackend, name: str, uuid: str | None, lock: ReaderWriterLock
) -> _Lock:
    keys: LockKeys = backend.keys.of_lock(name)
    if uuid is not None:
        keys = backend.keys.of_flow(uuid)
    owners = [*lock.holders(), *lock.waiters()]
    queue, marks = run_many(
        backend.client,
        [
            ("ZRANGE", keys.lock_queue, 0, 1000, "WITHSCORES"),
            ("HMGET", keys.lock, *_MARKS),
        ],
    )
    return _Lock(
        name,
        uuid,
        owners,
        {
            owner.decode(): int(ticket)
            for owner, ticket in queue
            if ticket != float("inf")
        },
        {k: v.decode() for k, v in zip(_MARKS, marks, strict=True) if v is not None},
    )


# Showing


def _report(found: Sequence[_Lock], nothing: str) -> Report:
    return Report(
        human=lambda console: _print(found, nothing, console),
        document=lambda: {"locks": [_record(lock) for lock in found]},
        records=lambda: map(_record, found),
    )


def _print(found: Sequence[_Lock], nothing: str, console: Console) -> None:
    rows = [_row(lock, owner) for lock in found for owner in lock.owners]
    if rows:
        print_table(
            console,
            rows,
            numeric=("FENCE", "SINCE", "LEASE LEFT", "TICKET"),
            dull={"TICKET": ("-",), "THREAD": ("MainThread",)},
            whole=("WHO", "DOES"),
            spare=("TICKET", "FENCE", "THREAD"),
        )
    else:
        console.print(nothing)
    for lock in found:
        if (by := lock.marks.get("broken_by")) is not None:
            reason = lock.marks.get("broken_for", "")
            at = iso_time(lock.marks.get("broken_at", "0"))
            text = f"{lock.name} was broken at {at} by {by}: {reason}"
            print_wrapped(console, Text(printable(text), DOUBTFUL))


def _row(lock: _Lock, owner: LockOwner) -> dict[str, str | Text]:
    waits = owner.does.startswith("awaits")
    return {
        "LOCK": Text(printable(lock.name)),
        "WHO": Text(printable(f"{owner.host}:{owner.pid}")),
        "THREAD": Text(printable(owner.thread)),
        "DOES": Text(owner.does, "" if waits else BUSY),
        "SINCE": duration(owner.age_s),
        "LEASE LEFT": duration(owner.lease_s) if owner.lease_s > 0 else "over",
        "FENCE": "-" if owner.does != "writes" else lock.marks.get("fence", "-"),
        "TICKET": str(lock.tickets.get(owner.owner, "-")),
    }


def _who(owner: LockOwner) -> str:
    return f"{owner.host}:{owner.pid} {owner.thread}"


def _record(lock: _Lock) -> dict[str, Any]:
    waiting = [owner for owner in lock.owners if owner.does.startswith("awaits")]
    return {
        "lock": lock.name,
        "flow_uuid": lock.flow_uuid,
        "fence": int(lock.marks.get("fence", 0)),
        "holders": [
            _owner_record(each, None) for each in lock.owners if each not in waiting
        ],
        "waiters": [_owner_record(e, lock.tickets.get(e.owner)) for e in waiting],
        "broken_at": iso_time(lock.marks.get("broken_at", "0")),
        "broken_by": lock.marks.get("broken_by"),
        "broken_for": lock.marks.get("broken_for"),
    }


def _owner_record(owner: LockOwner, ticket: int | None) -> dict[str, Any]:
    return {
        "owner": owner.owner,
        "does": owner.does,
        "host": owner.host,
        "pid": owner.pid,
        "thread": owner.thread,
        "since": iso_time(owner.since_ms),
        "lease_left_s": round(owner.lease_s, 3),
        "ticket": ticket,
    }
