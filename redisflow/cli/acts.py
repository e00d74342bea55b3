"""What commands that change runs share: which runs, a yes, and what came of it.

Runs are named, or chosen by filters; then the number of runs is told first. Each run
is acted upon by itself: one that refuses does not keep the others from it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from redisflow.cli.completion import complete_run
from redisflow.cli.damaged import DamagedRuns, readable_of
from redisflow.cli.options import (
    DryRunOption,
    LimitOption,
    NameOption,
    NewerOption,
    OlderOption,
    Output,
    OutputOption,
    ReasonOption,
    StatesOption,
    Url,
    YesOption,
)
from redisflow.cli.problems import Status, UsageProblem, line_of
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import confirm, say, whole_output
from redisflow.errors import (
    CorruptKey,
    InvalidState,
    Locked,
    NotFound,
    SchemaTooNew,
)
from redisflow.looking.flows import find_flow
from redisflow.looking.listing import RunSummary, WantedRuns, list_runs, read_run_id
from redisflow.looking.texts import printable
from redisflow.looking.unreadable import UNREADABLE
from redisflow.operations import Subject
from redisflow.persistence import RedisBackend
from redisflow.persistence.records import RUN_ID_FIELD

RunsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RUN]...",
        help="Run ids, uuids of flows, or the first four or more characters of uuids."
        " Or choose runs with --state, --older, --newer and --name.",
        show_default=False,
        autocompletion=complete_run,
    ),
]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A run that is acted upon.

    Attributes:
        flow_uuid: of its flow.
        label: what a person calls it by.
        run_id: its run id; None if it has none.
        rev: its revision when a filter chose it; 0 if it was named.
    """

    flow_uuid: str
    label: str
    run_id: str | None
    rev: int = 0


#: Acts upon a run; returns what came of it, in words, and for the JSON.
Act = Callable[[Chosen], tuple[str, Mapping[str, Any]]]

#: Likewise, upon an opened flow, for a reason.
Reasoned = Callable[[Subject, str], tuple[str, Mapping[str, Any]]]

#: Refuses as an act would, and changes nothing.
Check = Callable[[Chosen], object]


def acting_command(
    check: Callable[[Subject], object],
) -> Callable[[Reasoned], Callable[..., int]]:
    """Make a command of a function that does something with one run, for a reason.

    The command has its name, and its docstring for its help.

    Args:
        check: refuses as the function would, for a dry run.
    """

    def decorate(act: Reasoned) -> Callable[..., int]:
        def command(
            runs: RunsArgument = None,
            *,
            state: StatesOption = None,
            older: OlderOption = None,
            newer: NewerOption = None,
            name: NameOption = None,
            limit: LimitOption = None,
            reason: ReasonOption = "",
            yes: YesOption = False,
            dry_run: DryRunOption = False,
            url: Url = None,
            output: OutputOption = Output.HUMAN,
        ) -> int:
            wanted = WantedRuns(frozenset(state or ()), older, newer, name, limit)
            with contextlib.closing(RedisBackend.from_url(url)) as backend:
                return act_upon(
                    choose(backend, runs, wanted),
                    lambda chosen: act(Subject(backend, chosen.flow_uuid), reason),
                    lambda chosen: check(Subject(backend, chosen.flow_uuid)),
                    verb=act.__name__,
                    asks=not runs,
                    yes=yes,
                    dry_run=dry_run,
                    output=output,
                )

        command.__name__, command.__doc__ = act.__name__, act.__doc__
        return command

    return decorate


def choose(
    backend: RedisBackend, runs: Sequence[str] | None, wanted: WantedRuns
) -> list[Chosen]:
    """Find the runs that are named, or those that filters choose, if they are readable.

    Raises:
        UsageProblem: neither names nor filters, or both, or a name that is unknown.
    """
    filtered = wanted != WantedRuns(limit=wanted.limit)
    if runs and (filtered or wanted.limit is not None):
        raise UsageProblem("name runs, or choose them with filters: not both")
    if not runs and not filtered:
        raise UsageProblem("which runs? Name them, or choose with --state, --name, …")
    if runs:
        named = [_named(backend, text) for text in runs]
        return list({each.flow_uuid: each for each in named}.values())
    damaged = DamagedRuns()
    found = [
        chosen_of(each) for each in readable_of(list_runs(backend, wanted), damaged)
    ]
    damaged.tell()
    return found


def chosen_of(run: RunSummary) -> Chosen:
    """Take a run from a list."""
    label = run.flow_uuid if run.run_id == UNREADABLE else run.label
    return Chosen(run.flow_uuid, label, run.run_id, run.rev)


def _named(backend: RedisBackend, text: str) -> Chosen:
    uuid = find_flow(backend, text)
    key = backend.keys.of_flow(uuid).flow
    found = backend.client.execute("HGET", key, RUN_ID_FIELD)
    run_id = read_run_id(backend, found, key=key)
    return Chosen(uuid, uuid if run_id in (None, UNREADABLE) else run_id, run_id)


def act_upon(
    chosen: Sequence[Chosen],
    act: Act,
    check: Check,
    *,
    verb: str,
    asks: bool,
    yes: bool,
    dry_run: bool,
    output: Output,
) -> int:
    """Act upon runs, one after the other; returns the exit status.

    Args:
        chosen: the runs.
        act: what is done with each.
        check: refuses as that would, for a dry run.
        verb: what that is called, such as ``suspend``.
        asks: whether a person is asked first.
        yes: whether the answer was given beforehand.
        dry_run: only tell what would come of each.
        output: how what came of it is printed.
    """
    records = acted_upon(
        chosen,
        act,
        check,
        verb=verb,
        asks=asks,
        yes=yes,
        dry_run=dry_run,
        output=output,
    )
    print_records(records, output, say_it=dry_run)
    return status_of(records)


def acted_upon(
    chosen: Sequence[Chosen],
    act: Act,
    check: Check,
    *,
    verb: str,
    asks: bool,
    yes: bool,
    dry_run: bool,
    output: Output,
) -> list[dict[str, Any]]:
    """Act upon runs as `act_upon` does; returns what came of each, for the JSON."""
    if dry_run:
        say(f"{_number(chosen)} to {verb}")
        return [_checked(check, each, verb) for each in chosen]
    if not chosen:
        say("no such run")
    elif asks:
        names = ", ".join(printable(each.label) for each in chosen[:3])
        more = ", …" if len(chosen) > 3 else ""  # noqa: PLR2004
        confirm(f"{verb} {_number(chosen)} ({names}{more})?", yes=yes)
    return [act_on(act, each, output) for each in chosen]


def status_of(records: Sequence[Mapping[str, Any]]) -> Status:
    """Tell how a program ends that has acted upon runs."""
    refused = any("error" in record for record in records)
    return Status.STATE if refused else Status.SUCCESS


def _number(chosen: Sequence[Chosen]) -> str:
    return f"{len(chosen):,} run{'' if len(chosen) == 1 else 's'}"


def _checked(check: Check, chosen: Chosen, verb: str) -> dict[str, Any]:
    try:
        check(chosen)
    except (InvalidState, NotFound, CorruptKey, SchemaTooNew) as error:
        return _record(chosen, "would be refused", {"error": line_of(error)})
    return _record(chosen, f"would {verb}", {})


def act_on(act: Act, chosen: Chosen, output: Output) -> dict[str, Any]:
    """Act upon one run, and tell a person what came of it."""
    try:
        text, fields = act(chosen)
        told = text
    except (InvalidState, Locked, NotFound, CorruptKey, SchemaTooNew) as error:
        told = line_of(error)
        text, fields = "refused", {"error": told}
    if output is Output.HUMAN:
        say(f"run {printable(chosen.label)}: {told}")
    return _record(chosen, text, fields)


def _record(chosen: Chosen, text: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "run_id": chosen.run_id,
        "flow_uuid": chosen.flow_uuid,
        "result": text,
        **fields,
    }


def print_records(
    records: Sequence[Mapping[str, Any]],
    output: Output,
    *,
    say_it: bool,
    **more: Any,
) -> None:
    """Print what came of runs.

    Args:
        records: of each run.
        output: how.
        say_it: whether a person has to be told; otherwise it was.
        more: further members of the JSON document; as JSON lines, one for each.
    """
    with whole_output():
        if output is Output.JSON:
            sys.stdout.write(json_text({"runs": list(records), **more}, output))
        elif output is Output.JSONL:
            for record in (*records, *({name: more[name]} for name in more)):
                sys.stdout.write(json_text(record, output))
        elif say_it:
            for record in records:
                name = record["run_id"] or record["flow_uuid"]
                name = record["flow_uuid"] if name == UNREADABLE else name
                why = f": {record['error']}" if "error" in record else ""
                sys.stdout.write(f"{record['result']} {printable(name)}{why}\n")
