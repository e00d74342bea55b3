"""``redisflow migrate``: logbooks from any backend of TaskFlow to any other."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer
from rich.text import Text
from taskflow.persistence import base

from redisflow.cli.console import console_on
from redisflow.cli.layout import print_table
from redisflow.cli.options import DryRunOption, Output, OutputOption, YesOption
from redisflow.cli.places import Place, opened, place_of
from redisflow.cli.problems import Status, UsageProblem
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import Progress, confirm, say, whole_output
from redisflow.looking.texts import printable
from redisflow.moving.migrating import BAD, Migrated, books_of, migrate
from redisflow.persistence import RedisBackend

EPILOG = """\
[bold]Examples[/bold]

redisflow migrate sqlite:////var/lib/app/flows.db redis://db1:6379/0

redisflow migrate dir:///var/lib/app/flows redis://db1:6379/0 --book nightly --dry-run

redisflow migrate redis://db1:6379/0 mysql+pymysql://app@db2/flows --yes -o json

SQL databases need pip install 'redisflow[sql]', and a driver. Between two places of
redisflow, export and import move more: the journal, the structure, the run id.

[bold]Exit status[/bold]: 0 all is in both places, 2 usage or no such logbook, 4 a place
was not reached, 5 something differs, or did not come back as it was.
"""

From = Annotated[
    str,
    typer.Argument(
        metavar="FROM",
        help="Where logbooks are: sqlite:///…, mysql://…, postgresql://…, dir:///… or"
        " redis://…, as TaskFlow and redisflow take it.",
        show_default=False,
    ),
]
To = Annotated[
    str,
    typer.Argument(
        metavar="TO", help="Where they are to be, likewise.", show_default=False
    ),
]


def migrate_books(
    source: From,
    target: To,
    *,
    book: Annotated[
        str | None,
        typer.Option(
            "--book",
            metavar="BOOK",
            help="Only the logbook with this name, or uuid.",
            show_default=False,
        ),
    ] = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Copy logbooks, flows and atoms from one backend of TaskFlow to another.

    States, results, failures, what reverts returned and metadata. What is there and
    equal is left alone; what differs is refused and named; nothing is overwritten. So
    it can be run again, after it was cut short, too.
    """
    here, there = place_of(source), place_of(target)
    if not here.exists:
        raise UsageProblem(f"there is nothing at {here.label}")
    with opened(here, upgrade=False) as origin:
        books = books_of(origin, book)
        if not dry_run:
            number = f"{len(books):,} logbook{'' if len(books) == 1 else 's'}"
            confirm(f"copy {number} to {there.label}?", yes=yes)
        with _target(there, dry_run=dry_run) as goal:
            _refuse_same(here, there, origin, goal)
            moved = migrate(origin, goal, books, dry_run=dry_run)
            found = list(_progress(moved, len(books)))
    _tell(found, dry_run=dry_run)
    _print(found, output, here, there, dry_run=dry_run)
    return Status.STATE if any(each.result in BAD for each in found) else Status.SUCCESS


@contextlib.contextmanager
def _target(place: Place, *, dry_run: bool) -> Iterator[base.Connection | None]:
    """Open where it is to be; a dry run makes nothing."""
    if dry_run and not place.exists:
        yield None
        return
    with opened(place, upgrade=not dry_run) as connection:
        yield connection


def _refuse_same(
    here: Place, there: Place, one: base.Connection, other: base.Connection | None
) -> None:
    is_same = here.url == there.url or (
        here.path is not None and here.path == there.path
    )
    if other is not None:
        source, target = one.backend, other.backend
        if isinstance(source, RedisBackend) and isinstance(target, RedisBackend):
            is_same = source.origin == target.origin
    if is_same:
        raise UsageProblem("FROM and TO are the same place")


def _progress(found: Iterable[Migrated], books: int) -> Iterator[Migrated]:
    """Tell now and then how far it is."""
    progress, counts = Progress(), Counter[str]()
    seen: set[str] = set()

    def how_far() -> str:
        return (
            f"{len(seen):,} of {books:,} logbooks, {counts['flows']:,} flows,"
            f" {counts['atoms']:,} atoms"
        )

    for each in found:
        seen.add(each.book_uuid)
        counts["flows"] += bool(each.flow_uuid)
        counts["atoms"] += each.atoms
        progress.tell(how_far)
        yield each


def _tell(found: Sequence[Migrated], *, dry_run: bool) -> None:
    for each in found:
        if each.result in BAD:
            name = printable(each.flow or each.book)
            what = "flow" if each.flow_uuid else "logbook"
            uuid = each.flow_uuid or each.book_uuid
            say(f"{what} {name} ({uuid}): {each.result}: {printable(each.why)}")
    if dry_run:
        say("nothing was written")


def _print(
    found: Sequence[Migrated],
    output: Output,
    here: Place,
    there: Place,
    *,
    dry_run: bool,
) -> None:
    counts = Counter(each.result for each in found if each.flow_uuid)
    atoms = Counter[str]()
    for each in found:
        atoms[each.result] += each.atoms
    with whole_output() as stream:
        if output is Output.JSONL:
            for each in found:
                stream.write(json_text(dataclasses.asdict(each), output))
        elif output is Output.JSON:
            document = {
                "from": here.label,
                "to": there.label,
                "dry_run": dry_run,
                "books": len({each.book_uuid for each in found}),
                "flows": dict(counts),
                "atoms": sum(atoms.values()),
                "results": [dataclasses.asdict(each) for each in found],
            }
            stream.write(json_text(document, output))
        elif counts:
            rows: list[dict[str, str | Text]] = [
                {
                    "RESULT": f"would be {name}" if dry_run else name,
                    "FLOWS": f"{count:,}",
                    "ATOMS": f"{atoms[name]:,}",
                }
                for name, count in sorted(counts.items())
            ]
            console, numeric = console_on(sys.stdout), ("FLOWS", "ATOMS")
            print_table(console, rows, numeric=numeric, whole=("RESULT",))
        else:
            say("there is no flow")
