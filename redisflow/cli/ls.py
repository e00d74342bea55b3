"""``redisflow ls``: the runs of a namespace, the newest first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from redisflow.cli.console import BAD
from redisflow.cli.damaged import DamagedRuns
from redisflow.cli.layout import print_table
from redisflow.cli.options import (
    READING_STATUS,
    LimitOption,
    NameOption,
    NewerOption,
    OlderOption,
    Output,
    OutputOption,
    StatesOption,
    Url,
    WatchOption,
)
from redisflow.cli.reports import Report, show_report
from redisflow.cli.states import state_of_run_text
from redisflow.looking.clock import ServerClock, iso_time
from redisflow.looking.listing import RunSummary, WantedRuns, list_runs
from redisflow.looking.texts import duration, printable
from redisflow.looking.unreadable import backend_to_look

EPILOG = f"""\
[bold]Examples[/bold]

redisflow ls

redisflow ls --state RUNNING --state SUSPENDED --newer 2h

redisflow ls --name 'order-*' --older 7d -o jsonl | jq -r .flow_uuid

redisflow ls --watch=5

DONE counts atoms that are SUCCESS or IGNORE; ALIVE counts workers. The newest 50 runs
are shown to a person, all of them to a program, unless --limit says otherwise. A run
whose keys are damaged is (unreadable): see redisflow doctor.

{READING_STATUS}
"""

_ROWS = 50
_SHORT = 8
_COLUMNS = ("UUID", "RUN ID", "FLOW", "STATE", "DONE", "ALIVE", "AGE", "CHANGED")


def ls(
    *,
    state: StatesOption = None,
    older: OlderOption = None,
    newer: NewerOption = None,
    name: NameOption = None,
    limit: LimitOption = None,
    watch: WatchOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """List runs: how far they are, who is at work, and when something changed.

    Only reads; ages and times are by the server's clock.
    """
    most = limit
    if limit is None and output is Output.HUMAN:
        most = _ROWS + 1
    wanted = WantedRuns(frozenset(state or ()), older, newer, name, most)
    with contextlib.closing(backend_to_look(url)) as backend:
        damaged = DamagedRuns()

        def read() -> Report:
            runs = _told(list_runs(backend, wanted), damaged)
            return Report(
                human=lambda console: _print(
                    list(runs), ServerClock(backend.client), console, limit=limit
                ),
                document=lambda: {"runs": [_record(each) for each in runs]},
                records=lambda: map(_record, runs),
            )

        show_report(read, output, watch)


def _told(runs: Iterable[RunSummary], damaged: DamagedRuns) -> Iterator[RunSummary]:
    """Give all runs, and tell at their end of those that cannot be read."""
    for each in runs:
        if not each.readable:
            damaged.add(each.flow_uuid)
        yield each
    damaged.tell()


def _print(
    runs: Sequence[RunSummary],
    clock: ServerClock,
    console: Console,
    *,
    limit: int | None,
) -> None:
    if not runs:
        console.print("no runs")
        return
    shown = runs if limit is not None else runs[:_ROWS]
    now_ms = clock.now_ms()
    rows = [_row(each, now_ms) for each in shown]
    print_table(
        console,
        rows,
        numeric=("DONE", "ALIVE", "AGE", "CHANGED"),
        whole=("UUID", "STATE"),
        spare=("AGE", "UUID", "ALIVE"),
    )
    if len(shown) < len(runs):
        more = f"only the newest {_ROWS} runs: --limit N, or -o json"
        console.print(Text(more, "dim"), soft_wrap=True)


def _row(run: RunSummary, now_ms: float) -> dict[str, str | Text]:
    if not run.readable:
        short = printable(run.flow_uuid[:_SHORT])
        nothing = dict.fromkeys(_COLUMNS, "-")
        return {**nothing, "UUID": short, "STATE": Text(run.state, BAD)}
    done = "?" if run.done is None else f"{run.done:,}"
    return {
        "UUID": printable(run.flow_uuid[:_SHORT]),
        "RUN ID": Text(printable(run.run_id or "-")),
        "FLOW": Text(printable(run.name)),
        "STATE": state_of_run_text(run.state, submitted=run.submitted),
        "DONE": f"{done}/{run.atoms:,}",
        "ALIVE": f"{run.workers:,}" if run.workers else "-",
        "AGE": duration((now_ms - run.created_at) / 1000),
        "CHANGED": duration((now_ms - run.updated_at) / 1000),
    }


def _record(run: RunSummary) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "flow_uuid": run.flow_uuid,
        "name": run.name,
        "state": run.state,
        "run": run.run,
        "ended": run.ended,
        "cancelled": run.cancelled,
        "submitted": run.submitted,
        "rev": run.rev,
        "atoms": run.atoms,
        "done": run.done,
        "workers": run.workers,
        "created_at": iso_time(run.created_at),
        "updated_at": iso_time(run.updated_at),
    }
