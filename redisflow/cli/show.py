"""``redisflow show``: a flow and its atoms as they are now."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from taskflow.types.failure import Failure

from redisflow.cli.console import BAD
from redisflow.cli.layout import print_parts, print_table, print_wrapped
from redisflow.cli.options import (
    READING_STATUS,
    Output,
    OutputOption,
    RunArgument,
    Url,
    WatchOption,
)
from redisflow.cli.reports import Report, json_value, show_report
from redisflow.cli.states import counts_text, state_of_run_text, state_text
from redisflow.codec import Mask
from redisflow.codec.masking import MASKED
from redisflow.looking.atoms import failed_in, progress_of, state_of
from redisflow.looking.clock import iso_time
from redisflow.looking.failures import describe_failure, failure_lines
from redisflow.looking.flows import (
    FlowView,
    cancelled_by,
    find_flow,
    is_submitted,
    read_histories,
    read_view,
)
from redisflow.looking.texts import duration, printable, worker_text
from redisflow.looking.unreadable import backend_to_look
from redisflow.looking.waits import waits_in
from redisflow.persistence.records import META_RUN_ID, AtomRecord, History

EPILOG = f"""\
[bold]Examples[/bold]

redisflow show nightly

redisflow show 4f2a --all

redisflow show nightly --watch

redisflow show nightly -o jsonl | jq 'select(.state == "FAILURE")'

An owner that is (lost) has a lease that is over: the next worker that looks takes the
atom back.

{READING_STATUS}
"""

#: Rows of the table, unless all are wanted; those that matter most.
_ROWS = 100
#: What the screen has beside rows: the head, how many more, and the note of --watch.
_BESIDE_ROWS = 9
_WIDE = 100
_LEASES = 8
_WAITS_SHOWN = 2
_WAITS_IN_JSON = 20
#: States of an atom that may have a failure of an earlier round.
_BEGUN_ANEW = ("PENDING", "RUNNING")
_URGENT = ("FAILURE", "REVERT_FAILURE", "RUNNING", "REVERTING", "RETRYING")


def show(
    run: RunArgument,
    *,
    every: Annotated[
        bool, typer.Option("--all", "-a", help=f"All atoms, not {_ROWS} at most.")
    ] = False,
    watch: WatchOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show a flow: its state, its workers, its atoms and what went wrong.

    Only reads; ages and times are by the server's clock.
    """
    with contextlib.closing(backend_to_look(url)) as backend:
        uuid = find_flow(backend, run)

        def read() -> Report:
            view = read_view(backend, uuid)
            return Report(
                human=lambda console: _print(
                    view, console, rows=_rows_on(console, every=every, watch=watch)
                ),
                document=lambda: _document(
                    view, read_histories(backend, uuid, view.atoms)
                ),
                records=lambda: _records(
                    view, read_histories(backend, uuid, view.atoms)
                ),
            )

        show_report(read, output, watch)


# For a person


def _rows_on(console: Console, *, every: bool, watch: float | None) -> int:
    """Tell how many atoms to show; what is watched has one screen."""
    if every:
        return sys.maxsize
    if watch is None or not console.is_terminal:
        return _ROWS
    return min(_ROWS, max(1, console.height - _BESIDE_ROWS))


def _print(view: FlowView, console: Console, *, rows: int) -> None:
    _print_header(view, console)
    atoms = _chosen(view.atoms, rows)
    if atoms:
        console.print()
        _print_table(view, atoms, console)
    failed = [atom for atom in atoms if atom.name in view.failures]
    if failed:
        console.print()
    for atom in failed:
        _print_failures(atom, view.failures[atom.name], console)
    if len(atoms) < len(view.atoms):
        more = f"{len(view.atoms) - len(atoms):,} more atoms: --all, or -o json"
        console.print(Text(more, "dim"), soft_wrap=True)


def _print_header(view: FlowView, console: Console) -> None:
    fields = view.record.fields
    age = (view.now_ms - int(fields["created_at"])) / 1000
    quiet = (view.now_ms - int(fields["updated_at"])) / 1000
    state = view.record.state or "PENDING"
    print_parts(
        console,
        [
            Text.assemble("flow ", (printable(fields["name"]), "bold")),
            state_of_run_text(state, submitted=is_submitted(fields)),
            f"run {view.record.run}",
            f"rev {fields['rev']}",
            f"age {duration(age)}",
            f"changed {duration(quiet)} ago",
        ],
    )
    run_id = view.record.meta.get(META_RUN_ID)
    named = [f"run id {printable(str(run_id))}"] if run_id else []
    print_parts(console, [f"uuid {fields['uuid']}", *named])
    if (cancelled := cancelled_by(fields)) is not None:
        reason = f": {cancelled['reason']}" if cancelled["reason"] else ""
        text = f"cancelled by {worker_text(cancelled['who'])}{reason}"
        print_wrapped(console, Text(printable(text), BAD))
    if view.workers:
        leases = [
            f"{worker_text(worker)} ({duration(left)})"
            for worker, left in view.workers.items()
        ]
        if len(leases) > _LEASES:
            more = len(leases) - _LEASES
            leases[_LEASES:] = [f"and {more:,} more (redisflow workers)"]
        text = f"{len(view.workers):,} alive, with what is left of their leases: "
        print_wrapped(console, Text(printable(text + ", ".join(leases))))
    else:
        console.print("no worker is alive")
    counts = Counter(state_of(atom) for atom in view.atoms)
    number = len(view.atoms)
    told = [counts_text(counts)] if counts else []
    print_parts(console, [f"{number:,} atom{'' if number == 1 else 's'}", *told])


def _chosen(atoms: Sequence[AtomRecord], rows: int) -> list[AtomRecord]:
    """Choose what is shown, in the order of the graph."""
    if len(atoms) <= rows:
        return list(atoms)
    first = sorted(atoms, key=lambda atom: (state_of(atom) not in _URGENT, atom.node))
    return sorted(first[:rows], key=lambda atom: atom.node)


def _print_table(view: FlowView, atoms: Sequence[AtomRecord], console: Console) -> None:
    waits = waits_in(view.nodes, view.atoms, limit=_WAITS_SHOWN + 1)
    dull: dict[str, Sequence[str]] = {"OWNER": ("-",), "WAITS FOR": ("",)}
    if console.width < _WIDE:  # what says nothing gives way where there is little room
        dull |= {
            "TYPE": ("task",),
            "INTENTION": ("EXECUTE",),
            "ROUND": ("0", "1"),
            "ATTEMPT": ("0",),
        }
    print_table(
        console,
        [_row(view, atom, waits.get(atom.name, ())) for atom in atoms],
        numeric=("ROUND", "ATTEMPT", "PROGRESS", "TIME"),
        dull=dull,
        whole=("STATE", "INTENTION"),
        spare=("TYPE", "ROUND", "PROGRESS", "ATTEMPT", "INTENTION", "WAITS FOR"),
    )


def _row(view: FlowView, atom: AtomRecord, waits: Sequence[str]) -> dict[str, Any]:
    taken = view.seconds_of(atom)
    progress = progress_of(atom)
    shown = ", ".join(waits[:_WAITS_SHOWN])
    return {
        "ATOM": Text(printable(atom.name)),
        "TYPE": atom.type,
        "STATE": state_text(state_of(atom)),
        "INTENTION": str(atom.detail.intention),
        "OWNER": _owner_text(view, atom),
        "ROUND": str(atom.round),
        "ATTEMPT": str(atom.attempt),
        "PROGRESS": f"{progress:.0%}" if progress else "-",
        "TIME": "-" if taken is None else duration(taken),
        "WAITS FOR": Text(
            printable(shown) + (", …" if len(waits) > _WAITS_SHOWN else "")
        ),
    }


def _owner_text(view: FlowView, atom: AtomRecord) -> Text:
    if not atom.owner:
        return Text("-")
    name = printable(worker_text(atom.owner))
    return Text(f"{name} (lost)", BAD) if view.has_lost(atom) else Text(name)


def _print_failures(
    atom: AtomRecord, failures: Mapping[str, Failure], console: Console
) -> None:
    """Print what went wrong with an atom, and that of an earlier round as such."""
    past = atom.detail.state in _BEGUN_ANEW
    for field, failure in failures.items():
        method = "revert" if field == "revert_failure" else "execute"
        told = {"atom": atom.name, "method": method, **describe_failure(failure)}
        first, *causes = failure_lines({**told, "atom": printable(atom.name)})
        when = f" (round {failed_in(atom)})" if past else ""
        style = "dim" if past else BAD
        print_wrapped(console, Text(first + when, style))
        for line in causes:
            print_wrapped(console, Text(line, style), lead="  ", indent=4)


# For a program


def _document(view: FlowView, histories: Mapping[str, History]) -> dict[str, Any]:
    fields = view.record.fields
    return {
        "run_id": view.record.meta.get(META_RUN_ID),
        "flow_uuid": fields["uuid"],
        "name": fields["name"],
        "state": view.record.state or "PENDING",
        "run": view.record.run,
        "ended": view.record.ended,
        "cancelled": cancelled_by(fields),
        "submitted": is_submitted(fields),
        "rev": int(fields["rev"]),
        "epoch": int(fields["epoch"]),
        "created_at": iso_time(fields["created_at"]),
        "updated_at": iso_time(fields["updated_at"]),
        "server_time": iso_time(view.now_ms),
        "workers": [
            {"worker": worker, "lease_left_s": round(left, 3)}
            for worker, left in view.workers.items()
        ],
        "counts": dict(Counter(state_of(atom) for atom in view.atoms)),
        "atoms": list(_records(view, histories)),
    }


def _records(
    view: FlowView, histories: Mapping[str, History]
) -> Iterator[dict[str, Any]]:
    waits = waits_in(view.nodes, view.atoms, limit=_WAITS_IN_JSON)
    for atom in view.atoms:
        record = _atom(view, atom, waits.get(atom.name, ()))
        if atom.type == "retry":
            record["history"] = _history(atom, histories.get(atom.name, ()))
        yield record


def _history(atom: AtomRecord, tries: Sequence[Any]) -> list[dict[str, Any]]:
    """Tell what a controller has tried, and which atoms failed then, and how."""
    mask = Mask()
    hidden = any(map(mask.hides, atom.provides))
    return [
        {
            "value": MASKED if hidden else json_value(mask.of(value)),
            "failures": {name: describe_failure(each) for name, each in failed.items()},
        }
        for value, failed in tries
    ]


def _atom(view: FlowView, atom: AtomRecord, waits: Sequence[str]) -> dict[str, Any]:
    failures = view.failures.get(atom.name, {})
    taken = view.seconds_of(atom)
    is_over = atom.finished_at >= atom.started_at
    return {
        "name": atom.name,
        "uuid": atom.uuid,
        "type": atom.type,
        "state": state_of(atom),
        "intention": str(atom.detail.intention),
        "owner": atom.owner or None,
        "lost": view.has_lost(atom),
        "round": atom.round,
        "attempt": atom.attempt,
        "progress": progress_of(atom),
        "started_at": iso_time(atom.started_at),
        "finished_at": iso_time(atom.finished_at) if is_over else None,
        "time_s": None if taken is None else round(taken, 3),
        "waits_for": list(waits),
        **{
            field: {**describe_failure(failure), "round": failed_in(atom)}
            for field, failure in failures.items()
        },
    }
