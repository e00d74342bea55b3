"""``redisflow why``: what a run, or one of its atoms, waits for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from redisflow.cli.completion import complete_atom
from redisflow.cli.layout import print_wrapped
from redisflow.cli.options import (
    READING_STATUS,
    Output,
    OutputOption,
    RunArgument,
    Url,
    WatchOption,
)
from redisflow.cli.problems import UsageProblem
from redisflow.cli.reports import Report, show_report
from redisflow.cli.states import state_text, to_be_done
from redisflow.looking.atom_reasons import reasons_of_atom
from redisflow.looking.atoms import state_of
from redisflow.looking.flows import find_flow
from redisflow.looking.reasons import Reason
from redisflow.looking.situation import Situation, read_situation
from redisflow.looking.texts import printable
from redisflow.looking.unreadable import backend_to_look
from redisflow.looking.work_reasons import reasons_of_run
from redisflow.persistence.records import META_RUN_ID, AtomRecord

EPILOG = f"""\
[bold]Examples[/bold]

redisflow why nightly

redisflow why nightly upload

redisflow why nightly -o json | jq -r '.reasons[].text'

{READING_STATUS}
"""


def why(
    run: RunArgument,
    atom: Annotated[
        str | None,
        typer.Argument(
            metavar="[ATOM]",
            help="The name of an atom; without it, the whole run.",
            show_default=False,
            autocompletion=complete_atom,
        ),
    ] = None,
    *,
    watch: WatchOption = None,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Say what a run, or one of its atoms, waits for.

    Names what holds it back: atoms before it, deciders, a failure to be resolved, a
    change in progress, the flow's lock, the lease of whoever holds it, or nobody being
    there.
    """
    with contextlib.closing(backend_to_look(url)) as backend:
        uuid = find_flow(backend, run)

        def read() -> Report:
            situation = read_situation(backend, uuid)
            found = None if atom is None else _named(situation, atom)
            if found is None:
                reasons = list(reasons_of_run(situation))
            else:
                reasons = list(reasons_of_atom(situation, found))
            return Report(
                human=lambda console: _print(situation, found, reasons, console),
                document=lambda: {
                    **_head(situation, found),
                    "reasons": list(_records(reasons)),
                },
                records=lambda: _records(reasons),
            )

        show_report(read, output, watch)


def _named(situation: Situation, name: str) -> AtomRecord:
    for atom in situation.view.atoms:
        if name in (atom.name, atom.uuid):
            return atom
    flow = situation.fields["name"]
    if not situation.nodes:
        raise UsageProblem(
            f"flow {flow!r} has no atom {name!r} yet: its structure is not there"
        )
    raise UsageProblem(f"flow {flow!r} has no atom {name!r}")


def _print(
    situation: Situation,
    atom: AtomRecord | None,
    reasons: Sequence[Reason],
    console: Console,
) -> None:
    if atom is None:
        named = Text(printable(situation.fields["name"]), "bold")
        line = Text.assemble("flow ", named, "  ", state_text(_state(situation)))
    else:
        named = Text(printable(atom.name), "bold")
        line = Text.assemble(
            f"{atom.type} ",
            named,
            "  ",
            state_text(state_of(atom)),
            to_be_done(atom),
        )
    print_wrapped(console, line)
    for reason in reasons:
        print_wrapped(console, Text(printable(reason.text)), lead="- ")


def _head(situation: Situation, atom: AtomRecord | None) -> dict[str, Any]:
    head: dict[str, Any] = {
        "run_id": situation.view.record.meta.get(META_RUN_ID),
        "flow_uuid": situation.fields["uuid"],
        "state": _state(situation),
    }
    if atom is not None:
        head |= {
            "atom": atom.name,
            "atom_state": state_of(atom),
            "intention": str(atom.detail.intention),
        }
    return head


def _records(reasons: Sequence[Reason]) -> Iterator[dict[str, Any]]:
    for reason in reasons:
        yield {"kind": reason.kind, "text": reason.text, **reason.about}


def _state(situation: Situation) -> str:
    return situation.view.record.state or "PENDING"
