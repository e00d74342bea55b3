"""``redisflow tail``: the journal of a run, and what is added to it."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.text import Text
from taskflow import states

from redisflow.arguments import INJECTOR
from redisflow.cli.console import DOUBTFUL, console_on
from redisflow.cli.layout import is_fitted, print_wrapped, shortened
from redisflow.cli.options import Output, OutputOption, RunArgument, Url
from redisflow.cli.problems import Status, line_of
from redisflow.cli.reports import json_text
from redisflow.cli.states import state_text
from redisflow.cli.terminal import discard_output, say
from redisflow.errors import Unavailable
from redisflow.looking.clock import ServerClock, iso_time
from redisflow.looking.flows import find_flow
from redisflow.looking.texts import printable, worker_text
from redisflow.looking.unreadable import backend_to_look
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run_many
from redisflow.persistence.journal import Entry, Gap, Journal

EPILOG = """\
[bold]Examples[/bold]

redisflow tail nightly

redisflow tail nightly -n 20 --follow no

redisflow tail nightly --since 118 -o jsonl

redisflow tail nightly --follow forever

A line has the time, the revision, the atom (* is the flow itself, "given values" are
those of --store), the states before and after, and, where they say something, the
intention, the worker's process, the attempt and a reason. It is followed until the run
has ended; Ctrl-C ends it, too.

[bold]Exit status[/bold]: 0 all was shown, and the run, if it has ended, was a success;
1 it failed or was reverted; 2 usage or no such run; 3 it is suspended; 4 server, or the
flow was removed; 130 interrupted.
"""

_BLOCK_S = 2.0
#: What TaskFlow calls its injector.
_GIVEN = "(given values)"
#: Of the names: how wide their column gets in a pipe, and what stands beside it on a
#: terminal, of which the time and the revision stand before it.
_PIPED_NAME, _LEAST_NAME, _BESIDE_NAME, _BEFORE_NAME = 32, 12, 58, 19
_REASONS = {
    "trimmed": "the beginning of the journal was cut off: entries are missing here",
    "rewound": "the server has lost its last entries: some of those above are void",
    "recreated": "the flow was removed and made anew: its journal begins here",
}


class Follow(StrEnum):
    """How long a journal is followed."""

    NO = "no"
    END = "end"
    FOREVER = "forever"


def tail(
    run: RunArgument,
    *,
    since: Annotated[
        int | None,
        typer.Option(
            "--since",
            metavar="REV",
            min=0,
            help="What came after this revision of the flow. Without it, and without"
            " -n: all.",
            show_default=False,
        ),
    ] = None,
    number: Annotated[
        int | None,
        typer.Option(
            "-n",
            metavar="N",
            min=0,
            help="The last N entries, and what follows.",
            show_default=False,
        ),
    ] = None,
    follow: Annotated[
        Follow,
        typer.Option(
            "--follow",
            "-f",
            help="Whether to wait for more: no; until the run has ended; or on and on,"
            " through its next runs.",
        ),
    ] = Follow.END,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show the journal of a run, and follow it until the run has ended.

    Only reads. A server that is away is waited for, and nothing is shown twice.
    """
    if since is not None and number is not None:
        raise typer.BadParameter("--since and -n exclude each other")
    with contextlib.closing(backend_to_look(url)) as backend:
        uuid = find_flow(backend, run)
        journal = Journal(backend, uuid, since=since)
        if number is not None:
            journal.tail(number)
        shown = _Shown(backend, uuid, output)
        try:
            if not _follow(journal, shown, follow):
                return
        except KeyboardInterrupt:
            shown.finish()
            raise typer.Exit(Status.INTERRUPTED) from None
        shown.finish()
        raise typer.Exit(_status(backend, uuid, journal))


def _follow(journal: Journal, shown: _Shown, follow: Follow) -> bool:
    """Show entries until there are enough; False if nobody looks any more."""
    told = False
    while True:
        try:
            found = journal.read(0.0 if follow is Follow.NO else _BLOCK_S)
        except Unavailable as error:
            if follow is Follow.NO:
                raise
            say(f"{line_of(error)}; waiting")
            continue
        try:
            shown.add(found)
        except BrokenPipeError:
            discard_output()
            return False
        if found:
            continue
        if follow is Follow.NO or (journal.over and follow is Follow.END):
            return True
        if not (told or journal.over):
            with contextlib.suppress(Unavailable):  # the next reading says it
                told = shown.say_who_is_awaited()


def _status(backend: RedisBackend, uuid: str, journal: Journal) -> Status:
    """Tell how a run has ended, if it has."""
    key = backend.keys.of_flow(uuid).flow
    ((state,),) = run_many(backend.client, [("HMGET", key, "state")])
    if not journal.over or state is None:
        return Status.SUCCESS
    if state == states.SUSPENDED.encode():
        return Status.SUSPENDED
    failed = state in (states.FAILURE.encode(), states.REVERTED.encode())
    return Status.FAILED if failed else Status.SUCCESS


class _Shown:
    """Prints entries of one flow."""

    def __init__(self, backend: RedisBackend, uuid: str, output: Output) -> None:
        self._client = backend.client
        self._keys = backend.keys.of_flow(uuid)
        self._servers = backend.keys.servers
        self._output = output
        self._console = console_on(sys.stdout)
        self._names: dict[str, str] = {"": "*"}
        self._width = 1
        self._day = _local(ServerClock(backend.client).now_ms()).date()
        self._records: list[dict[str, Any]] = []

    def add(self, found: Sequence[Entry | Gap]) -> None:
        """Print what was read; one JSON document waits for its end.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        entries = [each for each in found if isinstance(each, Entry)]
        self._learn_names({each.atom for each in entries})
        self._widen(map(self._name_of, entries))
        for each in found:
            if self._output is Output.HUMAN:
                self._print(each)
            else:
                self._records.append(self._record(each))
        if self._output is Output.JSONL:
            for record in self._records:
                sys.stdout.write(json_text(record, self._output))
            self._records.clear()
        sys.stdout.flush()

    def finish(self) -> None:
        """Print the one document, if that is wanted."""
        if self._output is Output.JSON:
            document = {"entries": self._records}
            try:
                sys.stdout.write(json_text(document, self._output))
                sys.stdout.flush()
            except BrokenPipeError:
                discard_output()

    def say_who_is_awaited(self) -> bool:
        """Say, if nobody is there to go on, what has to come; tells whether it did."""
        now_ms = f"{ServerClock(self._client).now_ms():.0f}"
        alive, servers, (submitted, ended) = run_many(
            self._client,
            [
                ("ZCOUNT", self._keys.workers, now_ms, "(inf"),
                ("ZCOUNT", self._servers, now_ms, "+inf"),
                ("HMGET", self._keys.flow, "submitted", "ended"),
            ],
        )
        is_submitted = int(submitted or 0) > int(ended or 0)
        if alive or (is_submitted and servers):
            return False
        if is_submitted:
            say("submitted, and no worker serves: waiting")
        else:
            say("no worker is alive: waiting")
        return True

    def _learn_names(self, uuids: Iterable[str]) -> None:
        new = [uuid for uuid in uuids if uuid not in self._names]
        names = run_many(
            self._client, [("HGET", self._keys.atom(uuid), "name") for uuid in new]
        )
        for uuid, name in zip(new, names, strict=True):
            self._names[uuid] = uuid if name is None else name.decode()

    def _name_of(self, entry: Entry) -> str:
        """Name what an entry is about, for a person."""
        name = self._names[entry.atom]
        return _GIVEN if name == INJECTOR else printable(name)

    def _print(self, each: Entry | Gap) -> None:
        if isinstance(each, Gap):
            text = Text(f"--- {_REASONS[each.reason]}", DOUBTFUL)
            print_wrapped(self._console, text)
            return
        at = _local(each.time_ms)
        if at.date() != self._day:
            self._day = at.date()
            self._console.print(Text(f"--- {self._day}", "dim"))
        name = self._name_of(each)
        if is_fitted(self._console):
            name = shortened(name, self._width)
        line = Text.assemble(
            (at.strftime("%H:%M:%S.%f")[:-3], "dim"),
            f" {each.rev:>5} {name}{' ' * (self._width - cell_len(name))} ",
            *_move(each),
            *(f"  {printable(note)}" for note in _notes(each)),
        )
        print_wrapped(self._console, line, indent=_BEFORE_NAME)

    def _widen(self, names: Iterable[str]) -> None:
        """Make room for names; their column never shrinks."""
        room = _PIPED_NAME
        if is_fitted(self._console):
            room = max(_LEAST_NAME, self._console.width - _BESIDE_NAME)
        self._width = min(room, max([self._width, *map(cell_len, names)]))

    def _record(self, each: Entry | Gap) -> dict[str, Any]:
        if isinstance(each, Gap):
            return {"gap": each.reason, "after": each.after}
        return {
            "id": each.id,
            "time": iso_time(each.time_ms),
            "epoch": each.epoch,
            "rev": each.rev,
            "atom": self._names[each.atom] if each.atom else None,
            "atom_uuid": each.atom or None,
            "from": each.old or None,
            "to": each.new,
            "intention": each.intention or None,
            "worker": each.worker or None,
            "attempt": each.attempt,
            **each.more,
        }


def _local(time_ms: float) -> datetime.datetime:
    utc = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC)
    return utc.astimezone()


def _move(entry: Entry) -> list[Text]:
    new = state_text(entry.new)
    if not entry.old:
        return [Text("new "), new]
    if entry.old == entry.new:
        return [new]
    return [Text(f"{entry.old} → "), new]


def _notes(entry: Entry) -> list[str]:
    """Give what is told of an entry beside its states."""
    notes: list[str] = []
    if entry.intention not in ("", "EXECUTE"):
        notes.append(entry.intention.lower())
    if entry.worker:
        notes.append(f"by {worker_text(entry.worker)}")
    if entry.attempt:
        notes.append(f"attempt {entry.attempt}")
    more = {name: value for name, value in entry.more.items() if value}
    return [*notes, *(f"{name}: {value}" for name, value in more.items())]
