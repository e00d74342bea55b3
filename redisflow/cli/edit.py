"""``redisflow reset`` and ``redisflow set-result``: atoms, changed by hand."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from taskflow import states
from taskflow.types.failure import Failure

from redisflow.cli.options import (
    DryRunOption,
    Output,
    OutputOption,
    ReasonOption,
    RunArgument,
    Url,
    YesOption,
)
from redisflow.cli.problems import UsageProblem
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import confirm, say, whole_output
from redisflow.codec import failure_from
from redisflow.looking.flows import find_flow
from redisflow.looking.texts import printable
from redisflow.operations import (
    Subject,
    check_set_result,
    reset_atom,
    set_result,
    would_reset,
)
from redisflow.persistence import RedisBackend

_OVER = (states.SUCCESS, states.FAILURE, states.REVERTED)

_STATUS = """\
[bold]Exit status[/bold]: 0 done, 2 usage, no such run or atom, 4 server, 5 refused by
the flow's state.
"""
RESET_EPILOG = f"""\
[bold]Examples[/bold]

redisflow suspend nightly --wait && redisflow reset nightly load --reason "new data"

redisflow reset nightly load --only --yes

A run that has ended need not be suspended. Then run it again: redisflow resume, or
redisflow run with --rerun where it had ended.

{_STATUS}"""
SET_RESULT_EPILOG = f"""\
[bold]Examples[/bold]

redisflow set-result nightly load '{{"rows": 17}}' --reason "loaded by hand"

redisflow set-result nightly load --file rows.json

redisflow set-result nightly load --failure "the disk is gone"

{_STATUS}"""

AtomArgument = Annotated[
    str, typer.Argument(metavar="ATOM", help="The atom's name.", show_default=False)
]


class OperatorSaysSo(Exception):
    """What an atom failed with, since an operator said so."""


def reset(
    run: RunArgument,
    atom: AtomArgument,
    *,
    only: Annotated[
        bool, typer.Option("--only", help="Only this atom, not those after it.")
    ] = False,
    reason: ReasonOption = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Put an atom, and all that comes after it, back to where it was before it ran.

    Results, failures and histories of retries go; the run can then be run again. It is
    refused while workers are at work. Asks first.
    """
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        subject = Subject(backend, find_flow(backend, run))
        found = subject.storage.mirror.atom(atom)
        what = printable(atom) + ("" if only else " and all that comes after it")
        if dry_run:
            before = str(found.detail.state)
            names = would_reset(subject, atom, alone=only)
            about = {"flow_uuid": subject.storage.flow_uuid, "atom": atom}
            _tell(
                about | {"state": before, "result": "would reset", "atoms": names},
                f"would reset {what}: {', '.join(map(printable, names)) or 'nothing'}",
                output,
            )
            return
        confirm(f"reset {what}?", yes=yes)
        pending = reset_atom(subject, atom, alone=only, reason=reason)
        state = subject.storage.get_flow_state()
    how = " with --rerun" if state in _OVER else ""
    _tell(
        {"flow_uuid": subject.storage.flow_uuid, "atom": atom, "pending": pending},
        f"{what} can run again{how}: {pending:,} atom(s) are PENDING",
        output,
    )


def set_result_of(
    run: RunArgument,
    atom: AtomArgument,
    value: Annotated[
        str | None,
        typer.Argument(
            metavar="[VALUE]", help="JSON, or else text.", show_default=False
        ),
    ] = None,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file", metavar="FILE", help="Read the JSON from a file; - is stdin."
        ),
    ] = None,
    failure: Annotated[
        str | None,
        typer.Option(
            "--failure",
            metavar="TEXT",
            help="Record a failure with this text instead of a result.",
        ),
    ] = None,
    reason: ReasonOption = "",
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Give a task a result by hand; what waits for it becomes ready.

    What it had before is kept beside it. It is refused while a worker holds the task.
    """
    result = _result_of(value, file, failure)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        subject = Subject(backend, find_flow(backend, run))
        fails = isinstance(result, Failure)
        before = check_set_result(subject, atom, fails=fails)
        if dry_run:
            about = {"flow_uuid": subject.storage.flow_uuid, "atom": atom}
            _tell(
                about | {"state": before, "result": "would set the result"},
                f"would set the result of {printable(atom)}, which is {before}",
                output,
            )
            return
        confirm(f"set the result of {printable(atom)}, which is {before}?", yes=yes)
        old, new = set_result(subject, atom, result, reason=reason)
    _tell(
        {
            "flow_uuid": subject.storage.flow_uuid,
            "atom": atom,
            "old_state": old,
            "state": new,
        },
        f"{printable(atom)} was {old} and is {new}",
        output,
    )


def _result_of(value: str | None, file: Path | None, failure: str | None) -> Any:
    """Read the result that was given, in one of three ways.

    Raises:
        UsageProblem: none of them, or more than one; or the file is no JSON.
    """
    if sum(each is not None for each in (value, file, failure)) != 1:
        raise UsageProblem("give VALUE, --file or --failure: one of them")
    if failure is not None:
        found: Failure = failure_from(OperatorSaysSo(failure))
        return found
    if value is not None:
        with contextlib.suppress(ValueError):
            return json.loads(value)
        return value
    try:
        text = sys.stdin.read() if str(file) == "-" else Path(str(file)).read_text()
        return json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageProblem(f"--file {file}: {error}") from None


def _tell(document: dict[str, Any], text: str, output: Output) -> None:
    if output is Output.HUMAN:
        say(text)
        return
    with whole_output():
        sys.stdout.write(json_text(document, output))
