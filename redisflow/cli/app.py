"""The program: its commands, and how every one of them ends.

`invoke` is the one place where exceptions become a line and a status; commands just
raise. Usage errors of typer end the same way as ours.
"""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from redisflow.cli.commands import Commands, paragraphs
from redisflow.cli.problems import (
    Status,
    line_of,
    status_of,
    traceback_of,
    without_passwords,
)
from redisflow.cli.terminal import debugging, is_terminal, say
from redisflow.cli.words import spelled_out

_EPILOG = """\
RUN is a run id, the uuid of a flow, or the first four or more characters of that uuid.

NO_COLOR=1 turns colours off. What is piped has neither colours nor control codes, and
is never cut to a width. REDISFLOW_DEBUG=1 adds the traceback to an error.

[bold]Exit status[/bold]: 0 success, 1 the flow failed or was reverted, 2 usage or no
such run, 3 suspended, 4 server not reached or it refused, 5 refused by the state of
the flow or by a lock, 70 an error inside redisflow, 130 interrupted.
"""

_HELP = ("-h", "--help")

app = typer.Typer(
    name="redisflow",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": list(_HELP)},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001  # typer calls it so
    if not wanted:
        return
    try:
        version = importlib.metadata.version("redisflow")
    except importlib.metadata.PackageNotFoundError:
        version = "(not installed)"
    typer.echo(f"redisflow {version}")
    raise typer.Exit


@app.callback(epilog=paragraphs(_EPILOG))
def main(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:  # the callback has printed it
    """Run TaskFlow flows with many worker processes that share them through Redis."""


def invoke(arguments: Sequence[str]) -> int:
    """Run the program; returns its exit status."""
    asks_for_help = not arguments or any(word in _HELP for word in arguments)
    if asks_for_help and not is_terminal(sys.stdout):
        _keep_help_plain()
    try:
        status = app(
            spelled_out(arguments), standalone_mode=False, prog_name="redisflow"
        )
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # all end here
        if debugging():
            sys.stderr.write(traceback_of(error))
        return _end(error)
    return int(status or 0)


def _keep_help_plain() -> None:
    """Keep codes out of help that is piped, whatever the environment asks for."""
    # Costs the time of many imports, which typer, too, has with help alone.
    from typer import rich_utils  # noqa: PLC0415

    rich_utils.FORCE_TERMINAL = False


def _end(error: BaseException) -> int:
    """Tell what was wrong, in a line; returns the status for it."""
    if isinstance(error, typer.Abort):
        error = KeyboardInterrupt()
    # Typer's usage errors: click's classes, which it has brought along or imports.
    message = getattr(error, "format_message", None)
    if message is None:
        say(line_of(error))
        return status_of(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "redisflow"
    text = message()
    if not text:  # no arguments at all: the help was printed
        return Status.USAGE
    say(without_passwords(f"{text.rstrip('.')} (see {command} --help)"))
    return Status.USAGE
