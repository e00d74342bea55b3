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

from redisflow.cli import (
    bench,
    control,
    doctor,
    edit,
    graph,
    keys,
    locks,
    ls,
    migrate,
    move,
    remove,
    run,
    server,
    show,
    submit,
    tail,
    tree,
    why,
    worker,
    workers,
)
from redisflow.cli.options import paragraphs, spelled_out
from redisflow.cli.problems import (
    Status,
    line_of,
    status_of,
    traceback_of,
    without_passwords,
)
from redisflow.cli.terminal import debugging, is_terminal, say

_EPILOG = """\
RUN is a run id, the uuid of a flow, or the first four or more characters of that uuid.

NO_COLOR=1 turns colours off. What is piped has neither colours nor control codes, and
is never cut to a width. REDISFLOW_DEBUG=1 adds the traceback to an error.

[bold]Exit status[/bold]: 0 success, 1 the flow failed or was reverted, 2 usage or no
such run, 3 suspended, 4 server not reached or it refused, 5 refused by the state of
the flow or by a lock, 70 an error inside redisflow, 130 interrupted.
"""

_HELP = ("-h", "--help")

#: Commands whose names are no names in Python.
_NAMES = {
    "import_file": "import",
    "migrate_books": "migrate",
    "set_result_of": "set-result",
}

app = typer.Typer(
    name="redisflow",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": list(_HELP)},
)
for command, epilog in (
    (run.run, run.EPILOG),
    (submit.submit, submit.EPILOG),
    (worker.worker, worker.EPILOG),
    (ls.ls, ls.EPILOG),
    (show.show, show.EPILOG),
    (tree.tree, tree.EPILOG),
    (graph.graph, graph.EPILOG),
    (why.why, why.EPILOG),
    (tail.tail, tail.EPILOG),
    (workers.workers, workers.EPILOG),
    (keys.keys, keys.EPILOG),
    (control.suspend, control.SUSPEND_EPILOG),
    (control.resume, control.RESUME_EPILOG),
    (control.cancel, control.CANCEL_EPILOG),
    (edit.reset, edit.RESET_EPILOG),
    (edit.set_result_of, edit.SET_RESULT_EPILOG),
    (remove.rm, remove.RM_EPILOG),
    (remove.gc, remove.GC_EPILOG),
    (move.export, move.EXPORT_EPILOG),
    (move.import_file, move.IMPORT_EPILOG),
    (migrate.migrate_books, migrate.EPILOG),
    (doctor.doctor, doctor.EPILOG),
    (bench.bench, bench.EPILOG),
):
    name = _NAMES.get(command.__name__)
    app.command(name, help=paragraphs(command.__doc__), epilog=paragraphs(epilog))(
        command
    )
app.add_typer(
    locks.app,
    name="locks",
    help=paragraphs(locks.locks.__doc__),
    epilog=paragraphs(locks.EPILOG),
)
app.add_typer(server.app, name="server")


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
